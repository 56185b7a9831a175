/** Delivery through the IDT of protected mode: interrupt, trap and task gates (Intel SDM vol. 3, 6.12 and 20.3). */
import { CS, FLAG, SS, VECTOR } from '../architecture.ts';
import { SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  markAccessed,
  readDescriptor,
  systemType,
  SYSTEM_TYPE as T,
} from './descriptors.ts';
import type { Delivery } from './exceptions.ts';
import { setFlags } from './flags.ts';
import { checkStackDescriptor, setNullSegment } from './segments.ts';
import { RSP, Stack } from './stack.ts';
import { switchTask } from './task-switch.ts';
import { readTssStack } from './tss.ts';

interface Gate {
  readonly type: number;
  readonly selector: number;
  readonly offset: number;
}

const GATES: readonly number[] = [T.taskGate, T.interruptGate16, T.trapGate16, T.interruptGate, T.trapGate];

export function deliverProtected(state: CpuState, d: Delivery): void {
  const gate = readGate(state, d);
  if (gate.type === T.taskGate) {
    switchTask(state, gate.selector, 'interrupt', d.returnRip, d.ext, d.flags);
    if (d.errorCode !== undefined) pushErrorCode(state, d.errorCode);
    return;
  }
  const target = handlerSegment(state, gate.selector, d.ext);
  if (gate.offset > target.limit) state.raise(VECTOR.gp, d.ext);
  const dpl = dplOf(target.attributes);
  const inner = !isConforming(target.attributes) && dpl < state.cpl;
  if (state.isVirtual8086 && (!inner || dpl !== 0)) state.raise(VECTOR.gp, (gate.selector & 0xfffc) | d.ext);
  const size = gate.type >= T.interruptGate ? 4 : 2;
  const attributes = markAccessed(state, target);
  if (inner) enterInner(state, d, size, dpl);
  else {
    const stack = Stack.current(state, d.ext);
    pushReturn(state, stack, d, size);
    stack.commit();
  }
  state.setSegment(CS, (gate.selector & 0xfffc) | state.cpl, target.base, target.limit, attributes);
  state.rip = BigInt(gate.offset);
  const isTrap = gate.type === T.trapGate || gate.type === T.trapGate16;
  const cleared = FLAG.tf | FLAG.nt | FLAG.vm | FLAG.rf | (isTrap ? 0 : FLAG.if);
  setFlags(state, state.rflags & ~cleared);
}

function readGate(state: CpuState, d: Delivery): Gate {
  const error = d.vector * 8 + 2 + d.ext;
  if (d.vector * 8 + 7 > state.u32(CPU.idtrLimit)) state.raise(VECTOR.gp, error);
  const at = (state.u64(CPU.idtrBase) + BigInt(d.vector * 8)) & 0xffff_ffffn;
  const low = Number(state.asSupervisor(() => state.read(at, 4)));
  const high = Number(state.asSupervisor(() => state.read(at + 4n, 4)));
  const attributes = (high >>> 8) & 0xff;
  const type = systemType(attributes);
  if (!GATES.includes(type)) state.raise(VECTOR.gp, error);
  if (d.software && dplOf(attributes) < state.cpl) state.raise(VECTOR.gp, error);
  if (!isPresent(attributes)) state.raise(VECTOR.np, error);
  const offset = type >= T.interruptGate ? ((high & 0xffff_0000) | (low & 0xffff)) >>> 0 : low & 0xffff;
  return { type, selector: low >>> 16, offset };
}

function handlerSegment(state: CpuState, selector: number, ext: number): Descriptor {
  if (isNull(selector)) state.raise(VECTOR.gp, ext);
  const d = readDescriptor(state, selector, VECTOR.gp, ext);
  const error = (selector & 0xfffc) | ext;
  if (!isCode(d.attributes) || dplOf(d.attributes) > state.cpl) state.raise(VECTOR.gp, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  return d;
}

function pushReturn(state: CpuState, stack: Stack, d: Delivery, size: AccessSize): void {
  stack.push(size, BigInt(d.flags));
  stack.push(size, BigInt(state.selector(CS)));
  stack.push(size, d.returnRip);
  if (d.errorCode !== undefined) stack.push(size, BigInt(d.errorCode));
}

/** To the stack that the TSS has for privilege `cpl`, with the interrupted one's pointer on it. */
function enterInner(state: CpuState, d: Delivery, size: AccessSize, cpl: number): void {
  const next = readTssStack(state, cpl, d.ext);
  if (isNull(next.selector)) state.raise(VECTOR.ts, d.ext);
  const segment = readDescriptor(state, next.selector, VECTOR.ts, d.ext);
  checkStackDescriptor(state, segment, cpl, VECTOR.ts, d.ext);
  const stack = new Stack(state, segment, next.pointer, (next.selector & 0xfffc) | d.ext);
  const fromVirtual8086 = state.isVirtual8086;
  state.asSupervisor(() => {
    if (fromVirtual8086) {
      for (const n of [SEG.gs, SEG.fs, SEG.ds, SEG.es]) stack.push(size, BigInt(state.selector(n)));
    }
    stack.push(size, BigInt(state.selector(SS)));
    stack.push(size, state.reg(RSP));
    pushReturn(state, stack, d, size);
  });
  const attributes = markAccessed(state, segment);
  if (fromVirtual8086) for (const n of [SEG.gs, SEG.fs, SEG.ds, SEG.es]) setNullSegment(state, n, 0);
  state.setSegment(SS, next.selector, segment.base, segment.limit, attributes);
  state.setCpl(cpl);
  stack.commit();
}

/** After a task switch: on the new task's stack, whose width its TSS says. */
function pushErrorCode(state: CpuState, errorCode: number): void {
  const stack = Stack.current(state, 1);
  stack.push(4, BigInt(errorCode));
  stack.commit();
}
