import type { Target } from './harness.ts';

const ONE_VCPU = 'the software CPU runs one vCPU so far';

/** The software CPU, as the cases run it. */
export const SOFT: Target = {
  name: 'soft',
  module: new URL('../../src/hypervisor/soft/soft.ts', import.meta.url).href,
  factory: 'soft',
  irqchip: 'kernel',
  lacks: { smp: ONE_VCPU },
};
