/** Changes of RFLAGS that can let a waiting interrupt in, and privilege checks. */
import { CPU } from '../state.ts';
import { type CpuState, CR0, CR4, FLAG, VECTOR } from './cpu-state.ts';

/** Sets RFLAGS. When that sets IF while an interrupt waits, the vCPU looks up soon. */
export function setFlags(state: CpuState, value: number): void {
  const enables = (value & ~state.u32(CPU.eflags) & FLAG.if) !== 0;
  state.rflags = value;
  if (enables && state.u32(CPU.interruptWaits) !== 0) state.setU32(CPU.attention, 0x8000_0000);
}

export function setZeroFlag(state: CpuState, on: boolean): void {
  state.rflags = on ? state.rflags | FLAG.zf : state.rflags & ~FLAG.zf;
}

/**
 * RFLAGS after POPF or IRET of `size` bytes at privilege `cpl` (SDM vol. 2, POPF): what the privilege or the size does
 * not allow stays as it is. RF is set only by IRET, which passes it in `extra`.
 */
export function poppedFlags(state: CpuState, image: number, size: number, cpl: number, extra = 0): number {
  const old = state.rflags;
  let mask = FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.tf | FLAG.df | FLAG.of | FLAG.nt;
  if (size > 2) mask |= FLAG.ac | FLAG.id | extra;
  if (cpl <= ((old >> 12) & 3)) mask |= FLAG.if;
  if (cpl === 0) mask |= FLAG.iopl;
  return (old & ~mask & ~FLAG.rf) | (image & mask);
}

export function requirePrivilege0(state: CpuState): void {
  if (state.cpl !== 0) state.raise(VECTOR.gp);
}

/** #UD in real and virtual-8086 mode. */
export function requireProtected(state: CpuState): void {
  if (!state.isProtected || state.isVirtual8086) state.raise(VECTOR.ud);
}

export type FpuKind = 'x87' | 'mmx' | 'sse' | 'wait';

/** The faults that floating-point and vector instructions meet first (SDM vol. 3, 2.5 and 13.1). */
export function checkFpu(state: CpuState, kind: FpuKind): void {
  const cr0 = state.cr0;
  const switched = (cr0 & CR0.ts) !== 0;
  if (kind === 'wait') {
    if (switched && (cr0 & CR0.mp) !== 0) state.raise(VECTOR.nm);
    return;
  }
  if (kind !== 'x87') {
    if ((cr0 & CR0.em) !== 0) state.raise(VECTOR.ud);
    if (kind === 'sse' && (state.cr4 & CR4.osfxsr) === 0) state.raise(VECTOR.ud);
  }
  if (switched || (cr0 & CR0.em) !== 0) state.raise(VECTOR.nm);
}
