/** Delivery through the IDT of long mode: 16-byte gates, stacks of the TSS (Intel SDM vol. 3, 6.14). */
import { ATTR, CS, FLAG, SS, TR, VECTOR } from '../architecture.ts';
import { CPU } from '../state.ts';
import type { CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  dplOf,
  isCanonical,
  isCode,
  isConforming,
  isNull,
  isPresent,
  readDescriptor,
  SYSTEM_TYPE,
  systemType,
} from './descriptors.ts';
import type { Delivery } from './exceptions.ts';
import { setFlags } from './flags.ts';
import { setFromDescriptor, setNullSegment } from './segments.ts';
import { RSP, Stack } from './stack.ts';

interface LongGate {
  readonly selector: number;
  readonly offset: bigint;
  readonly ist: number;
  readonly isTrap: boolean;
}

export function deliverLong(state: CpuState, d: Delivery): void {
  const gate = readGate(state, d);
  const target = handlerSegment(state, gate.selector, d.ext);
  const { cpl } = state;
  const dpl = dplOf(target.attributes);
  const newCpl = isConforming(target.attributes) ? cpl : dpl;
  if (!isCanonical(gate.offset)) state.raise(VECTOR.gp, d.ext);
  const changes = newCpl < cpl;
  const stack = new Stack(state, undefined, newStackPointer(state, gate.ist, changes, newCpl, d.ext) & ~15n, d.ext);
  const frame = () => pushFrame(state, stack, d);
  if (newCpl === 3) frame();
  else state.asSupervisor(frame);

  setFromDescriptor(state, CS, (gate.selector & 0xfffc) | newCpl, target);
  if (changes) setNullSegment(state, SS, newCpl);
  state.setCpl(newCpl);
  state.setReg(RSP, stack.pointer);
  state.rip = gate.offset;
  const cleared = FLAG.tf | FLAG.nt | FLAG.vm | FLAG.rf | (gate.isTrap ? 0 : FLAG.if);
  setFlags(state, state.rflags & ~cleared);
}

function pushFrame(state: CpuState, stack: Stack, d: Delivery): void {
  stack.push(8, BigInt(state.selector(SS)));
  stack.push(8, state.reg(RSP));
  stack.push(8, BigInt(d.flags));
  stack.push(8, BigInt(state.selector(CS)));
  stack.push(8, d.returnRip);
  if (d.errorCode !== undefined) stack.push(8, BigInt(d.errorCode));
}

function readGate(state: CpuState, d: Delivery): LongGate {
  const error = d.vector * 8 + 2 + d.ext;
  if (d.vector * 16 + 15 > state.u32(CPU.idtrLimit)) state.raise(VECTOR.gp, error);
  const at = state.u64(CPU.idtrBase) + BigInt(d.vector * 16);
  const low = state.asSupervisor(() => state.read(at, 8));
  const high = state.asSupervisor(() => state.read(at + 8n, 8));
  const attributes = Number((low >> 40n) & 0xffn);
  const type = systemType(attributes);
  const isTrap = type === SYSTEM_TYPE.trapGate;
  if (!isTrap && type !== SYSTEM_TYPE.interruptGate) state.raise(VECTOR.gp, error);
  if (d.software && dplOf(attributes) < state.cpl) state.raise(VECTOR.gp, error);
  if (!isPresent(attributes)) state.raise(VECTOR.np, error);
  const offset = (low & 0xffffn) | ((low >> 32n) & 0xffff_0000n) | ((high & 0xffff_ffffn) << 32n);
  return { selector: Number((low >> 16n) & 0xffffn), offset, ist: Number((low >> 32n) & 7n), isTrap };
}

/** The code segment of a gate: 64-bit, present and not less privileged than what it interrupts. */
function handlerSegment(state: CpuState, selector: number, ext: number): Descriptor {
  if (isNull(selector)) state.raise(VECTOR.gp, ext);
  const d = readDescriptor(state, selector, VECTOR.gp, ext);
  const error = (selector & 0xfffc) | ext;
  const is64Bit = (d.attributes & (ATTR.l | ATTR.db)) === ATTR.l;
  if (!isCode(d.attributes) || !is64Bit || dplOf(d.attributes) > state.cpl) state.raise(VECTOR.gp, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  return d;
}

function newStackPointer(state: CpuState, ist: number, changes: boolean, cpl: number, ext: number): bigint {
  if (ist !== 0) return readTssPointer(state, 36 + (ist - 1) * 8, ext);
  return changes ? readTssPointer(state, 4 + cpl * 8, ext) : state.reg(RSP);
}

/** A stack pointer out of the 64-bit TSS (SDM vol. 3, 7.7). */
export function readTssPointer(state: CpuState, offset: number, ext: number): bigint {
  if (offset + 7 > state.segmentLimit(TR)) state.raise(VECTOR.ts, (state.selector(TR) & 0xfffc) | ext);
  const pointer = state.asSupervisor(() => state.read(state.segmentBase(TR) + BigInt(offset), 8));
  if (!isCanonical(pointer)) state.raise(VECTOR.ss, ext);
  return pointer;
}
