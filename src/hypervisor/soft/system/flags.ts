/** RFLAGS as system instructions change it. */
import { FLAG } from '../architecture.ts';
import { CPU } from '../state.ts';
import type { CpuState } from './cpu-state.ts';

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

/** The flags of CMP a, b of `size` bytes; both are zero-extended. */
export function compareFlags(state: CpuState, a: bigint, b: bigint, size: number): void {
  const bits = size * 8;
  const result = BigInt.asUintN(bits, a - b);
  const sign = (value: bigint) => value >> BigInt(bits - 1) !== 0n;
  let ones = 0;
  for (let n = 0n; n < 8n; n++) ones += Number((result >> n) & 1n);
  let flags = state.rflags & ~(FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.of);
  if (a < b) flags |= FLAG.cf;
  if (ones % 2 === 0) flags |= FLAG.pf;
  if ((a & 15n) < (b & 15n)) flags |= FLAG.af;
  if (result === 0n) flags |= FLAG.zf;
  if (sign(result)) flags |= FLAG.sf;
  if (sign(a) !== sign(b) && sign(result) !== sign(a)) flags |= FLAG.of;
  state.rflags = flags;
}
