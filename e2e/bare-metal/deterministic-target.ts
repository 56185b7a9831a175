import type { Hypervisor } from '../../src/hypervisor/hypervisor.ts';
import { soft } from '../../src/hypervisor/soft/soft.ts';
import type { Target } from './harness.ts';
import { SOFT } from './soft-target.ts';

/** The software CPU with time that is instructions. */
export function deterministic(): Hypervisor {
  const hypervisor = soft();
  return { ...hypervisor, createVm: (options) => hypervisor.createVm({ ...options, soft: { seed: 0 } }) };
}

export const DETERMINISTIC: Target = {
  ...SOFT,
  name: 'deterministic',
  module: import.meta.url,
  factory: 'deterministic',
  lacks: { ...SOFT.lacks, smp: 'a deterministic VM has one vCPU' },
};
