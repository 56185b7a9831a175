/** Loads of segment registers (Intel SDM vol. 3, 5.5-5.7; vol. 2, MOV, POP, LDS). */
import { ATTR, VECTOR } from '../architecture.ts';
import { type Insn, OPERAND, SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isReadable,
  isWritable,
  markAccessed,
  readDescriptor,
} from './descriptors.ts';
import { memoryOperand, readOperand, writeOperand } from './operands.ts';
import { Stack } from './stack.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const DATA = 0x93;
const VIRTUAL_8086_DATA = 0xf3;

/** A segment register as real and virtual-8086 mode load it: real mode leaves limit and size as they are. */
export function setRealSegment(state: CpuState, segment: number, selector: number): void {
  if (state.isVirtual8086) {
    state.setSegment(segment, selector, BigInt(selector << 4), 0xffff, VIRTUAL_8086_DATA);
    return;
  }
  const kept = state.segmentAttributes(segment) & (ATTR.db | ATTR.g);
  state.setSegment(segment, selector, BigInt(selector << 4), state.segmentLimit(segment), kept | DATA);
}

export function setNullSegment(state: CpuState, segment: number, selector: number): void {
  state.setSegment(segment, selector, 0n, 0, 0);
}

/** Fills a segment register from a descriptor that has been checked, and marks that as accessed. */
export function setFromDescriptor(state: CpuState, segment: number, selector: number, d: Descriptor): void {
  const attributes = markAccessed(state, d);
  state.setSegment(segment, selector, d.base, d.limit, attributes);
}

/** Loads ES, SS, DS, FS or GS, with all checks; the caller has it followed by updateMode(). */
export function loadSegment(state: CpuState, segment: number, selector: number): void {
  if (!state.isProtected || state.isVirtual8086) setRealSegment(state, segment, selector);
  else if (segment === SEG.ss) loadStackSegment(state, selector);
  else loadDataSegment(state, segment, selector);
}

function loadDataSegment(state: CpuState, segment: number, selector: number): void {
  if (isNull(selector)) {
    setNullSegment(state, segment, selector);
    return;
  }
  const d = readDescriptor(state, selector);
  const error = selector & 0xfffc;
  if (!isReadable(d.attributes)) state.raise(VECTOR.gp, error);
  const rpl = selector & 3;
  if (!isConforming(d.attributes) && Math.max(rpl, state.cpl) > dplOf(d.attributes)) state.raise(VECTOR.gp, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  setFromDescriptor(state, segment, selector, d);
}

function loadStackSegment(state: CpuState, selector: number): void {
  const { cpl } = state;
  if (isNull(selector)) {
    if (!state.is64BitCode || cpl === 3 || (selector & 3) !== cpl) state.raise(VECTOR.gp);
    setNullSegment(state, SEG.ss, selector);
    return;
  }
  const d = readDescriptor(state, selector);
  checkStackDescriptor(state, d, cpl, VECTOR.gp);
  setFromDescriptor(state, SEG.ss, selector, d);
}

/** A stack segment for privilege `cpl`; `vector` is #GP or, for stacks out of a TSS, #TS. */
export function checkStackDescriptor(state: CpuState, d: Descriptor, cpl: number, vector: number, ext = 0): void {
  const error = (d.selector & 0xfffc) | ext;
  if ((d.selector & 3) !== cpl || dplOf(d.attributes) !== cpl || !isWritable(d.attributes)) state.raise(vector, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.ss, error);
}

/** After a return to less privilege: data segments that it must not use become null (SDM vol. 2, RET). */
export function dropPrivilegedSegments(state: CpuState): void {
  for (const segment of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) {
    const attributes = state.segmentAttributes(segment);
    const kept = isCode(attributes) && isConforming(attributes);
    if (!kept && isPresent(attributes) && dplOf(attributes) < state.cpl) setNullSegment(state, segment, 0);
  }
}

function loaded(state: CpuState, segment: number): Next {
  if (segment === SEG.ss) state.setU32(CPU.interruptShadow, 1);
  state.updateMode();
  return 'next';
}

export function movToSeg({ state }: SystemCpu, insn: Insn): Next {
  loadSegment(state, insn.a.reg, Number(readOperand(state, insn, insn.b)) & 0xffff);
  return loaded(state, insn.a.reg);
}

export function movFromSeg({ state }: SystemCpu, insn: Insn): Next {
  writeOperand(state, insn, insn.a, BigInt(state.selector(insn.b.reg)));
  return 'next';
}

export function pushSeg({ state }: SystemCpu, insn: Insn): Next {
  const stack = Stack.current(state);
  stack.push(insn.opSize as AccessSize, BigInt(state.selector(insn.a.reg)));
  stack.commit();
  return 'next';
}

export function popSeg({ state }: SystemCpu, insn: Insn): Next {
  const stack = Stack.current(state);
  const selector = Number(stack.pop(insn.opSize as AccessSize) & 0xffffn);
  // A POP SS moves the pointer of the stack that it pops from.
  loadSegment(state, insn.a.reg, selector);
  stack.commit();
  return loaded(state, insn.a.reg);
}

/** LES LDS LSS LFS LGS: offset, then selector. */
function loadFarPointer(segment: number) {
  return ({ state }: SystemCpu, insn: Insn): Next => {
    const size = insn.opSize as AccessSize;
    const at = memoryOperand(state, insn, size + 2, 'read');
    const offset = state.read(at, size);
    const selector = Number(state.read(at + BigInt(size), 2));
    loadSegment(state, segment, selector);
    state.setReg(insn.a.reg, offset, size);
    state.updateMode();
    return 'next';
  };
}

export const les = loadFarPointer(SEG.es);
export const lss = loadFarPointer(SEG.ss);
export const lds = loadFarPointer(SEG.ds);
export const lfs = loadFarPointer(SEG.fs);
export const lgs = loadFarPointer(SEG.gs);

/** The selector of a far pointer operand and its offset, from the instruction or from memory. */
export function readFarPointer(state: CpuState, insn: Insn): { selector: number; offset: bigint } {
  if (insn.a.kind === OPERAND.far) return { selector: insn.immHigh & 0xffff, offset: BigInt(insn.imm >>> 0) };
  const size = insn.opSize as AccessSize;
  const at = memoryOperand(state, insn, size + 2, 'read');
  return { offset: state.read(at, size), selector: Number(state.read(at + BigInt(size), 2)) };
}
