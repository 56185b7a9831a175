/** What instructions that TypeScript executes need around the state, for code that uses no devices. */
import type { X87 } from '../../src/hypervisor/soft/fpu/x87.ts';
import type { CpuState } from '../../src/hypervisor/soft/system/cpu-state.ts';
import type { SystemCpu } from '../../src/hypervisor/soft/system/system-cpu.ts';

export function systemCpu(state: CpuState, fpu: X87): SystemCpu & { readonly fpu: X87 } {
  const never = (): never => {
    throw new Error('sequences have no devices');
  };
  return {
    state,
    fpu,
    id: 0,
    apic: { msrLow: 0, msrHigh: 0, tpr: 0, readMsr: () => false, writeMsr: () => false },
    memory: { contains: () => false, write: never },
    clock: { now: () => 0, wallTime: () => 0 },
    tscKhz: 1_000_000,
    cpuid: [],
    readTsc: () => 0n,
    writeTsc: never,
    tscDeadline: 0n,
    random: () => 0n,
    portRead: never,
    portWrite: never,
  };
}
