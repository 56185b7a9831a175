/** Delivery of exceptions and interrupts (Intel SDM vol. 3, chapter 6). */
import { CS, FLAG, HAS_ERROR_CODE, VECTOR } from '../architecture.ts';
import { CPU, EXCEPTION_VECTORS } from '../state.ts';
import { type CpuState, GuestFault } from './cpu-state.ts';
import { deliverLong } from './exceptions-long.ts';
import { deliverProtected } from './exceptions-protected.ts';
import { setFlags } from './flags.ts';
import { setRealSegment } from './segments.ts';
import { Stack } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';

export type EventKind = 'fault' | 'trap' | 'interrupt' | 'software' | 'nmi';

/** Something to deliver. Only exceptions whose vector has an error code use `errorCode`. */
export interface GuestEvent {
  readonly vector: number;
  readonly errorCode?: number;
  readonly kind: EventKind;
}

/** A delivery, for the code of each mode. */
export interface Delivery {
  readonly vector: number;
  /** undefined: none is pushed. */
  readonly errorCode: number | undefined;
  /** Where the handler returns to. */
  readonly returnRip: bigint;
  /** RFLAGS as it is pushed. */
  readonly flags: number;
  /** Bit 0 of error codes: the event came from outside the program. */
  readonly ext: number;
  /** INT n, INT3 and INTO check the gate's privilege. */
  readonly software: boolean;
}

const CONTRIBUTORY: readonly number[] = [VECTOR.de, VECTOR.ts, VECTOR.np, VECTOR.ss, VECTOR.gp];
const DR7_GD = 1 << 13;

/**
 * Delivers an event at RIP (the instruction for faults, the next one for all else). Faults on the way are delivered
 * instead, or become a double fault (SDM vol. 3, table 6-5); 'shutdown' is the triple fault.
 */
export function deliver(cpu: SystemCpu, event: GuestEvent): 'jump' | 'shutdown' {
  const { state } = cpu;
  if (deliverQuickly(state, event)) return 'jump';
  let current: GuestEvent = event;
  for (;;) {
    try {
      deliverOnce(state, current, state.rip);
      return 'jump';
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      const next = combine(current, error.vector, error.errorCode);
      if (next === undefined) return 'shutdown';
      current = next;
    }
  }
}

/** Delivers what is usual in 64-bit mode; false, and nothing has changed, if it is not. */
function deliverQuickly(state: CpuState, event: GuestEvent): boolean {
  const { vector, kind } = event;
  if (kind === 'trap' || kind === 'software') return false;
  if (state.core.deliver(state.block, vector, event.errorCode ?? 0, kind === 'fault' ? 1 : 0) === 0) return false;
  delivered(state, event);
  return true;
}

function delivered(state: CpuState, event: GuestEvent): void {
  countDelivery(state, event);
  if (event.kind === 'nmi') state.setU32(CPU.nmiBlocked, 1);
}

/** Delivers INT n, INT3 or INTO, returning to `returnRip`. A fault is thrown: it is one of the instruction. */
export function deliverSoftware(state: CpuState, vector: number, returnRip: bigint): void {
  deliverOnce(state, { vector, kind: 'software' }, returnRip);
}

/** What a fault during the delivery of `first` leads to; undefined: shutdown. */
function combine(first: GuestEvent, vector: number, errorCode: number): GuestEvent | undefined {
  const isException = first.kind === 'fault' || first.kind === 'trap';
  const severe = CONTRIBUTORY.includes(vector) || vector === VECTOR.pf;
  if (isException && first.vector === VECTOR.df && severe) return undefined;
  const contributory = isException && CONTRIBUTORY.includes(first.vector) && CONTRIBUTORY.includes(vector);
  const onPageFault = isException && first.vector === VECTOR.pf && severe;
  if (contributory || onPageFault) return { vector: VECTOR.df, errorCode: 0, kind: 'fault' };
  return { vector, errorCode, kind: 'fault' };
}

function deliverOnce(state: CpuState, event: GuestEvent, returnRip: bigint): void {
  const { vector, kind } = event;
  if (kind === 'fault' && vector === VECTOR.pf) state.setU64(CPU.cr2, state.u64(CPU.faultAddress));
  const hasError = kind === 'fault' && HAS_ERROR_CODE.includes(vector);
  // The handler of a fault returns with RF set, so that a breakpoint on the instruction does not come again.
  const resumes = kind === 'fault' && vector !== VECTOR.db;
  const flags = resumes ? state.rflags | FLAG.rf : state.rflags & ~FLAG.rf;
  const software = kind === 'software';
  const delivery: Delivery = {
    vector,
    errorCode: hasError ? (event.errorCode ?? 0) : undefined,
    returnRip,
    flags,
    ext: software ? 0 : 1,
    software,
  };
  if (state.isLongMode) deliverLong(state, delivery);
  else if (state.isProtected) deliverProtected(state, delivery);
  else deliverReal(state, delivery);
  delivered(state, event);
  if (vector === VECTOR.db && !software) state.setU64(CPU.dr7, state.u64(CPU.dr7) & ~BigInt(DR7_GD));
  state.updateMode();
}

function countDelivery(state: CpuState, { kind, vector }: GuestEvent): void {
  if (kind === 'software') state.count(CPU.softwareInterrupts);
  else if (kind === 'interrupt' || kind === 'nmi') state.count(CPU.interrupts);
  else state.count(CPU.exceptions + 8 * (vector % EXCEPTION_VECTORS));
}

/** Real mode: through the vectors of 4 bytes at the base of the IDT; there are no error codes. */
function deliverReal(state: CpuState, d: Delivery): void {
  const offset = d.vector * 4;
  if (offset + 3 > state.u32(CPU.idtrLimit)) state.raise(VECTOR.gp);
  const entry = Number(state.read((state.u64(CPU.idtrBase) + BigInt(offset)) & 0xffff_ffffn, 4));
  const stack = Stack.current(state);
  stack.push(2, BigInt(d.flags & 0xffff));
  stack.push(2, BigInt(state.selector(CS)));
  stack.push(2, d.returnRip & 0xffffn);
  stack.commit();
  setFlags(state, state.rflags & ~(FLAG.if | FLAG.tf | FLAG.ac | FLAG.rf));
  setRealSegment(state, CS, entry >>> 16);
  state.rip = BigInt(entry & 0xffff);
}
