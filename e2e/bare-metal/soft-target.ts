import type { Target } from './harness.ts';

const ONE_VCPU = 'the software CPU runs one vCPU so far';
const NO_DIRTY_LOG = 'the software CPU keeps no dirty log so far';

/** The software CPU, as the cases run it. */
export const SOFT: Target = {
  name: 'soft',
  module: new URL('../../src/hypervisor/soft/soft.ts', import.meta.url).href,
  factory: 'soft',
  irqchip: 'kernel',
  lacks: { smp: ONE_VCPU, 'dirty-log': NO_DIRTY_LOG },
};
