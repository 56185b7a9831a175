/**
 * Stack instructions that are not worth micro-operations: PUSHA, ENTER, LEAVE and POP in legacy modes, PUSHF and POPF
 * with TF or VM.
 */
import { FLAG, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { poppedFlags, setFlags } from './flags.ts';
import { nextRip, writeOperand } from './operands.ts';
import { RSP, Stack, setStackPointer, stackMask } from './stack.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RBP = 5;

export function pusha({ state }: SystemCpu, insn: Insn): Next {
  const stack = Stack.current(state);
  for (let n = 0; n < 8; n++) stack.push(insn.opSize as AccessSize, state.reg(n));
  stack.commit();
  return 'next';
}

export function popa({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  const stack = Stack.current(state);
  const values = Array.from({ length: 8 }, () => stack.pop(size));
  values.forEach((value, n) => {
    if (7 - n !== RSP) state.setReg(7 - n, value, size);
  });
  stack.commit();
  return 'next';
}

/** POP to memory, whose address is computed with rSP as after the POP; or to a register. */
export function pop({ state }: SystemCpu, insn: Insn): Next {
  const stack = Stack.current(state);
  const value = stack.pop(insn.a.size as AccessSize);
  const before = state.reg(RSP);
  stack.commit();
  try {
    writeOperand(state, insn, insn.a, value);
  } catch (error) {
    state.setReg(RSP, before);
    throw error;
  }
  return 'next';
}

export function enter({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  const level = insn.imm2 & 31;
  const stack = Stack.current(state);
  stack.push(size, state.reg(RBP));
  const frame = stack.pointer;
  if (level > 0) {
    const outer = Stack.current(state);
    outer.pointer = state.reg(RBP) & outer.mask;
    for (let n = 1; n < level; n++) stack.push(size, outer.peek(-n * size, size));
    stack.push(size, frame);
  }
  stack.skip(-(insn.imm & 0xffff));
  stack.probe(size);
  // The frame pointer has the operand's size, but only the bits of a stack offset that there are.
  state.setReg(RBP, frame, size);
  stack.commit();
  return 'next';
}

export function leave({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  const stack = Stack.current(state);
  stack.pointer = state.reg(RBP) & stackMask(state);
  const value = stack.pop(size);
  setStackPointer(state, stack.pointer);
  state.setReg(RBP, value, size);
  return 'next';
}

/** In virtual-8086 mode the flags belong to the monitor unless IOPL is 3. */
function checkVirtual8086(state: CpuState): void {
  if (state.isVirtual8086 && ((state.u32(CPU.eflags) >> 12) & 3) !== 3) state.raise(VECTOR.gp);
}

export function pushf({ state }: SystemCpu, insn: Insn): Next {
  checkVirtual8086(state);
  const stack = Stack.current(state);
  stack.push(insn.opSize as AccessSize, BigInt(state.rflags & ~(FLAG.rf | FLAG.vm)));
  stack.commit();
  return 'next';
}

export function popf({ state }: SystemCpu, insn: Insn): Next {
  checkVirtual8086(state);
  const stack = Stack.current(state);
  const image = Number(stack.pop(insn.opSize as AccessSize) & 0xffff_ffffn);
  stack.commit();
  setFlags(state, poppedFlags(state, image, insn.opSize, state.cpl));
  state.updateMode();
  // TF changes how code is decoded, and this is not the end of a block.
  state.rip = nextRip(state, insn);
  return 'jump';
}
