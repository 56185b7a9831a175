import type { Target } from './harness.ts';

const ONE_VCPU = 'on other hosts than x86-64 the software CPU has one vCPU';

/** The software CPU, as the cases run it. */
export const SOFT: Target = {
  name: 'soft',
  module: new URL('../../src/hypervisor/soft/soft.ts', import.meta.url).href,
  factory: 'soft',
  irqchip: 'kernel',
  lacks: process.arch === 'x64' ? {} : { smp: ONE_VCPU },
};
