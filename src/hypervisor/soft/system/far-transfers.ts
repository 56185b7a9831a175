/** Far jumps, calls and returns (Intel SDM vol. 2, JMP, CALL, RET; vol. 3, 5.8). */
import { ATTR, CS, SS, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { enterGate } from './call-gates.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  dplOf,
  isCanonical,
  isCode,
  isConforming,
  isNull,
  isPresent,
  markAccessed,
  readDescriptor,
  systemType,
  SYSTEM_TYPE as T,
} from './descriptors.ts';
import { nextRip } from './operands.ts';
import {
  checkStackDescriptor,
  dropPrivilegedSegments,
  readFarPointer,
  setNullSegment,
  setRealSegment,
} from './segments.ts';
import { Stack, setStackPointer } from './stack.ts';
import type { Next, SystemCpu } from './system-cpu.ts';
import { switchTask } from './task-switch.ts';

/** A code descriptor whose bits make 64-bit code. */
export function is64Bit(state: CpuState, d: Descriptor): boolean {
  return state.isLongMode && (d.attributes & ATTR.l) !== 0;
}

/** #GP unless `offset` can be executed in code segment `d`. */
export function checkOffset(state: CpuState, d: Descriptor, offset: bigint): void {
  if (is64Bit(state, d) ? !isCanonical(offset) : offset > BigInt(d.limit)) state.raise(VECTOR.gp);
}

/** In long mode a code segment cannot be 64-bit and have 32-bit operands. */
function checkBits(state: CpuState, d: Descriptor): void {
  if (is64Bit(state, d) && (d.attributes & ATTR.db) !== 0) state.raise(VECTOR.gp, d.selector & 0xfffc);
}

/** The code segment of a return (RETF, IRET): its RPL is the privilege that is returned to. */
export function returnSegment(state: CpuState, selector: number): Descriptor {
  if (isNull(selector)) state.raise(VECTOR.gp);
  const d = readDescriptor(state, selector);
  const error = selector & 0xfffc;
  const rpl = selector & 3;
  const dpl = dplOf(d.attributes);
  if (!isCode(d.attributes) || rpl < state.cpl) state.raise(VECTOR.gp, error);
  if (isConforming(d.attributes) ? dpl > rpl : dpl !== rpl) state.raise(VECTOR.gp, error);
  checkBits(state, d);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  return d;
}

/** The stack segment of a return to privilege `cpl` in code segment `code`; undefined: null, as 64-bit code may have. */
export function returnStack(state: CpuState, selector: number, cpl: number, code: Descriptor): Descriptor | undefined {
  if (isNull(selector)) {
    if (!is64Bit(state, code) || cpl === 3 || (selector & 3) !== cpl) state.raise(VECTOR.gp);
    return undefined;
  }
  const d = readDescriptor(state, selector);
  checkStackDescriptor(state, d, cpl, VECTOR.gp);
  return d;
}

/** Loads CS and RIP, and SS too where `stack` is given; after all checks. */
export function arrive(
  state: CpuState,
  code: Descriptor,
  cpl: number,
  rip: bigint,
  stack?: { selector: number; segment: Descriptor | undefined },
): void {
  const attributes = markAccessed(state, code);
  if (stack?.segment !== undefined) {
    const { segment, selector } = stack;
    state.setSegment(SS, selector, segment.base, segment.limit, markAccessed(state, segment));
  } else if (stack !== undefined) {
    setNullSegment(state, SS, stack.selector);
  }
  state.setSegment(CS, (code.selector & 0xfffc) | cpl, code.base, code.limit, attributes);
  state.setCpl(cpl);
  state.rip = rip;
}

function isRealStyle(state: CpuState): boolean {
  return !state.isProtected || state.isVirtual8086;
}

function cut(offset: bigint, insn: Insn): bigint {
  return BigInt.asUintN(insn.opSize * 8, offset);
}

function jumpReal(state: CpuState, selector: number, offset: bigint): void {
  if (offset > BigInt(state.segmentLimit(CS))) state.raise(VECTOR.gp);
  setRealSegment(state, CS, selector);
  state.rip = offset;
}

/** The target of a far JMP or CALL that is no gate, at the current privilege. */
function directTarget(state: CpuState, selector: number, d: Descriptor): void {
  const { cpl } = state;
  const error = selector & 0xfffc;
  const dpl = dplOf(d.attributes);
  if (isConforming(d.attributes) ? dpl > cpl : (selector & 3) > cpl || dpl !== cpl) state.raise(VECTOR.gp, error);
  checkBits(state, d);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
}

function targetDescriptor(state: CpuState, selector: number): Descriptor {
  if (isNull(selector)) state.raise(VECTOR.gp);
  return readDescriptor(state, selector);
}

export function jumpFar({ state }: SystemCpu, insn: Insn): Next {
  const { selector, offset } = readFarPointer(state, insn);
  const target = cut(offset, insn);
  if (isRealStyle(state)) {
    jumpReal(state, selector, target);
  } else {
    const d = targetDescriptor(state, selector);
    if (isCode(d.attributes)) {
      directTarget(state, selector, d);
      checkOffset(state, d, target);
      arrive(state, d, state.cpl, target);
    } else {
      throughSystemDescriptor(state, d, insn, 'jump');
    }
  }
  state.updateMode();
  return 'jump';
}

export function callFar({ state }: SystemCpu, insn: Insn): Next {
  const { selector, offset } = readFarPointer(state, insn);
  const target = cut(offset, insn);
  if (isRealStyle(state)) {
    if (target > BigInt(state.segmentLimit(CS))) state.raise(VECTOR.gp);
    pushReturn(state, insn).commit();
    jumpReal(state, selector, target);
  } else {
    const d = targetDescriptor(state, selector);
    if (isCode(d.attributes)) {
      directTarget(state, selector, d);
      checkOffset(state, d, target);
      const stack = pushReturn(state, insn);
      arrive(state, d, state.cpl, target);
      stack.commit();
    } else {
      throughSystemDescriptor(state, d, insn, 'call');
    }
  }
  state.updateMode();
  return 'jump';
}

function pushReturn(state: CpuState, insn: Insn): Stack {
  const size = insn.opSize as AccessSize;
  const stack = Stack.current(state);
  stack.push(size, BigInt(state.selector(CS)));
  stack.push(size, nextRip(state, insn));
  return stack;
}

/** A call gate, task gate or TSS named by a far JMP or CALL. */
function throughSystemDescriptor(state: CpuState, d: Descriptor, insn: Insn, source: 'jump' | 'call'): void {
  const type = systemType(d.attributes);
  const error = d.selector & 0xfffc;
  const isGate = type === T.callGate || (type === T.callGate16 && !state.isLongMode);
  const isTask = type === T.taskGate || type === T.tss || type === T.tss16;
  if (!isGate && (!isTask || state.isLongMode)) state.raise(VECTOR.gp, error);
  if (dplOf(d.attributes) < Math.max(state.cpl, d.selector & 3)) state.raise(VECTOR.gp, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  if (isGate) {
    enterGate(state, d, source, nextRip(state, insn));
    return;
  }
  const task = type === T.taskGate ? Number((d.raw >> 16n) & 0xffffn) : d.selector;
  switchTask(state, task, source, nextRip(state, insn));
}

export function returnFar({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as AccessSize;
  const stack = Stack.current(state);
  const rip = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  stack.skip(insn.imm);
  if (isRealStyle(state)) {
    jumpReal(state, selector, rip);
    stack.commit();
  } else {
    const code = returnSegment(state, selector);
    const cpl = selector & 3;
    if (cpl === state.cpl) {
      checkOffset(state, code, rip);
      arrive(state, code, cpl, rip);
      setStackPointer(state, stack.pointer);
    } else {
      returnOuter(state, stack, code, rip, insn.imm, size);
    }
  }
  state.updateMode();
  return 'jump';
}

function returnOuter(
  state: CpuState,
  stack: Stack,
  code: Descriptor,
  rip: bigint,
  parameters: number,
  size: AccessSize,
): void {
  const cpl = code.selector & 3;
  const pointer = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  const segment = returnStack(state, selector, cpl, code);
  checkOffset(state, code, rip);
  arrive(state, code, cpl, rip, { selector, segment });
  setStackPointer(state, pointer + BigInt(parameters));
  dropPrivilegedSegments(state);
}
