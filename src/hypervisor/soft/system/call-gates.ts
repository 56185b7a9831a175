/** Call gates, with and without a change of privilege (Intel SDM vol. 3, 5.8.3-5.8.5). */
import { ATTR, CS, SS, VECTOR } from '../architecture.ts';
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
  readUpperHalf,
  SYSTEM_TYPE,
  systemType,
} from './descriptors.ts';
import { readTssPointer } from './exceptions-long.ts';
import { checkStackDescriptor, setNullSegment } from './segments.ts';
import { RSP, Stack } from './stack.ts';
import { readTssStack } from './tss.ts';

/** Goes through a gate that the caller may use. The caller has updateMode() follow. */
export function enterGate(state: CpuState, gate: Descriptor, source: 'jump' | 'call', returnRip: bigint): void {
  const long = state.isLongMode;
  const wide = systemType(gate.attributes) === SYSTEM_TYPE.callGate;
  const size: AccessSize = long ? 8 : wide ? 4 : 2;
  let offset = gate.raw & 0xffffn;
  if (wide) offset |= (gate.raw >> 32n) & 0xffff_0000n;
  if (long) offset |= (readUpperHalf(state, gate) & 0xffff_ffffn) << 32n;

  const target = gateTarget(state, Number((gate.raw >> 16n) & 0xffffn), source);
  if (long ? !isCanonical(offset) : offset > BigInt(target.limit)) state.raise(VECTOR.gp);
  const dpl = dplOf(target.attributes);
  const inner = source === 'call' && !isConforming(target.attributes) && dpl < state.cpl;
  const attributes = markAccessed(state, target);
  if (inner && long) enterLong(state, dpl, returnRip);
  else if (inner) enterInner(state, dpl, size as 2 | 4, Number((gate.raw >> 32n) & 0x1fn), returnRip);
  else if (source === 'call') {
    const stack = Stack.current(state);
    pushReturn(state, stack, size, returnRip);
    stack.commit();
  }
  state.setSegment(CS, (target.selector & 0xfffc) | state.cpl, target.base, target.limit, attributes);
  state.rip = offset;
}

function gateTarget(state: CpuState, selector: number, source: 'jump' | 'call'): Descriptor {
  if (isNull(selector)) state.raise(VECTOR.gp);
  const d = readDescriptor(state, selector);
  const error = selector & 0xfffc;
  const dpl = dplOf(d.attributes);
  if (!isCode(d.attributes) || dpl > state.cpl) state.raise(VECTOR.gp, error);
  if (source === 'jump' && !isConforming(d.attributes) && dpl !== state.cpl) state.raise(VECTOR.gp, error);
  if (state.isLongMode && (d.attributes & (ATTR.l | ATTR.db)) !== ATTR.l) state.raise(VECTOR.gp, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  return d;
}

function pushReturn(state: CpuState, stack: Stack, size: AccessSize, returnRip: bigint): void {
  stack.push(size, BigInt(state.selector(CS)));
  stack.push(size, returnRip);
}

function enterLong(state: CpuState, cpl: number, returnRip: bigint): void {
  const stack = new Stack(state, undefined, readTssPointer(state, 4 + cpl * 8, 0));
  state.asSupervisor(() => {
    stack.push(8, BigInt(state.selector(SS)));
    stack.push(8, state.reg(RSP));
    pushReturn(state, stack, 8, returnRip);
  });
  setNullSegment(state, SS, cpl);
  state.setCpl(cpl);
  state.setReg(RSP, stack.pointer);
}

/** To the stack of the TSS, with `count` parameters copied from the caller's. */
function enterInner(state: CpuState, cpl: number, size: 2 | 4, count: number, returnRip: bigint): void {
  const next = readTssStack(state, cpl, 0);
  if (isNull(next.selector)) state.raise(VECTOR.ts);
  const segment = readDescriptor(state, next.selector, VECTOR.ts);
  checkStackDescriptor(state, segment, cpl, VECTOR.ts);
  const caller = Stack.current(state);
  const parameters = Array.from({ length: count }, (_, n) => caller.peek(n * size, size));
  const stack = new Stack(state, segment, next.pointer, next.selector & 0xfffc);
  state.asSupervisor(() => {
    stack.push(size, BigInt(state.selector(SS)));
    stack.push(size, state.reg(RSP));
    for (const parameter of parameters.reverse()) stack.push(size, parameter);
    pushReturn(state, stack, size, returnRip);
  });
  const attributes = markAccessed(state, segment);
  state.setSegment(SS, next.selector, segment.base, segment.limit, attributes);
  state.setCpl(cpl);
  stack.commit();
}
