/** String instructions one element at a time, with the checks of segments that are not flat; and XLAT. */
import { type Insn, SEG } from '../decode/insn.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { compareFlags } from './flags.ts';
import { addressMask, linearAddress } from './operands.ts';
import { addToAddress, repeat, stringStep } from './ports.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RAX = 0;
const RBX = 3;
const RSI = 6;
const RDI = 7;
const REPE = 0xf3;

function source(state: CpuState, insn: Insn): bigint {
  const offset = state.reg(RSI) & addressMask(insn.addrSize);
  return linearAddress(state, insn.seg, offset, insn.opSize, 'read');
}

function destination(state: CpuState, insn: Insn, access: 'read' | 'write'): bigint {
  const offset = state.reg(RDI) & addressMask(insn.addrSize);
  return linearAddress(state, SEG.es, offset, insn.opSize, access);
}

/** Moves the named pointers to the next element. */
function advance(state: CpuState, insn: Insn, ...registers: readonly number[]): void {
  for (const register of registers) addToAddress(state, register, stringStep(state, insn.opSize), insn.addrSize);
}

export function movs({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  return repeat(state, insn, () => {
    state.write(destination(state, insn, 'write'), size, state.read(source(state, insn), size));
    advance(state, insn, RSI, RDI);
    return true;
  });
}

export function stos({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  return repeat(state, insn, () => {
    state.write(destination(state, insn, 'write'), size, BigInt.asUintN(size * 8, state.reg(RAX)));
    advance(state, insn, RDI);
    return true;
  });
}

export function lods({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  return repeat(state, insn, () => {
    state.setReg(RAX, state.read(source(state, insn), size), size);
    advance(state, insn, RSI);
    return true;
  });
}

/** Sets the flags, and tells whether the prefix lets the repetition go on. */
function compare(state: CpuState, insn: Insn, a: bigint, b: bigint): boolean {
  compareFlags(state, a, b, insn.opSize);
  return (a === b) === (insn.rep === REPE);
}

export function cmps({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  return repeat(state, insn, () => {
    const a = state.read(source(state, insn), size);
    const b = state.read(destination(state, insn, 'read'), size);
    advance(state, insn, RSI, RDI);
    return compare(state, insn, a, b);
  });
}

export function scas({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  return repeat(state, insn, () => {
    const b = state.read(destination(state, insn, 'read'), size);
    advance(state, insn, RDI);
    return compare(state, insn, BigInt.asUintN(size * 8, state.reg(RAX)), b);
  });
}

/** AL = the byte at rBX + AL. */
export function xlat({ state }: SystemCpu, insn: Insn): Next {
  const offset = (state.reg(RBX) + (state.reg(RAX) & 0xffn)) & addressMask(insn.addrSize);
  state.setReg(RAX, state.read(linearAddress(state, insn.seg, offset, 1, 'read'), 1), 1);
  return 'next';
}
