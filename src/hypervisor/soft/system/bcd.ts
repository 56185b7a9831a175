/** Decimal arithmetic and the other instructions on AL that 64-bit mode has dropped (Intel SDM vol. 2, AAA to DAS). */
import { FLAG, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import type { CpuState } from './cpu-state.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RAX = 0;

const al = (state: CpuState) => Number(state.reg(RAX) & 0xffn);
const ax = (state: CpuState) => Number(state.reg(RAX) & 0xffffn);

/** AL, with SF, ZF and PF by it; OF becomes 0. */
function setResult(state: CpuState, value: number, carry: boolean, adjust: boolean): void {
  const result = value & 0xff;
  let ones = 0;
  for (let n = 0; n < 8; n++) ones += (result >> n) & 1;
  let flags = state.rflags & ~(FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.of);
  if (carry) flags |= FLAG.cf;
  if (adjust) flags |= FLAG.af;
  if (ones % 2 === 0) flags |= FLAG.pf;
  if (result === 0) flags |= FLAG.zf;
  if (result >= 0x80) flags |= FLAG.sf;
  state.rflags = flags;
}

/** DAA (sign 1) and DAS (sign -1). */
function adjustPacked(sign: 1 | -1) {
  return ({ state }: SystemCpu): Next => {
    const old = al(state);
    const flags = state.rflags;
    const adjust = (old & 15) > 9 || (flags & FLAG.af) !== 0;
    const high = old > 0x99 || (flags & FLAG.cf) !== 0;
    let value = old;
    if (adjust) value += 6 * sign;
    // DAS keeps the borrow out of the low digit's step even where the high digit needs none.
    const carry = high || (sign < 0 && adjust && old < 6);
    if (high) value += 0x60 * sign;
    state.setReg(RAX, BigInt(value & 0xff), 1);
    setResult(state, value, carry, adjust);
    return 'next';
  };
}

export const daa = adjustPacked(1);
export const das = adjustPacked(-1);

/** AAA (sign 1) and AAS (sign -1). */
function adjustUnpacked(sign: 1 | -1) {
  return ({ state }: SystemCpu): Next => {
    const adjust = (al(state) & 15) > 9 || (state.rflags & FLAG.af) !== 0;
    const value = adjust ? ax(state) + 0x106 * sign : ax(state);
    const masked = value & 0xff0f;
    state.setReg(RAX, BigInt(masked), 2);
    setResult(state, masked, adjust, adjust);
    return 'next';
  };
}

export const aaa = adjustUnpacked(1);
export const aas = adjustUnpacked(-1);

export function aam({ state }: SystemCpu, insn: Insn): Next {
  const base = insn.imm & 0xff;
  if (base === 0) state.raise(VECTOR.de);
  const value = al(state);
  state.setReg(RAX, BigInt((Math.floor(value / base) << 8) | (value % base)), 2);
  setResult(state, value % base, false, false);
  return 'next';
}

export function aad({ state }: SystemCpu, insn: Insn): Next {
  const value = ax(state);
  const result = ((value & 0xff) + (value >> 8) * (insn.imm & 0xff)) & 0xff;
  state.setReg(RAX, BigInt(result), 2);
  setResult(state, result, false, false);
  return 'next';
}

/** AL = all of it CF. */
export function salc({ state }: SystemCpu): Next {
  state.setReg(RAX, (state.rflags & FLAG.cf) !== 0 ? 0xffn : 0n, 1);
  return 'next';
}
