/** A stack in any mode, seen apart from RSP: an instruction pushes or pops, and commits when nothing can fault any more. */
import { ATTR, SS, VECTOR } from '../architecture.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { isCanonical } from './descriptors.ts';
import { isWithin } from './operands.ts';

export const RSP = 4;

export interface StackSegment {
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

const STACK_MASK = { wide: 0xffff_ffff_ffff_ffffn, long: 0xffff_ffffn, short: 0xffffn } as const;

export class Stack {
  /** The stack pointer, cut to the size that the stack has. */
  pointer: bigint;
  readonly mask: bigint;
  readonly #state: CpuState;
  readonly #segment: StackSegment | undefined;
  readonly #errorCode: number;

  /** `segment` undefined: the flat stack of 64-bit mode. `errorCode` is that of stack faults. */
  constructor(state: CpuState, segment: StackSegment | undefined, pointer: bigint, errorCode = 0) {
    this.#state = state;
    this.#segment = segment;
    this.#errorCode = errorCode;
    if (segment === undefined) this.mask = STACK_MASK.wide;
    else this.mask = (segment.attributes & ATTR.db) !== 0 ? STACK_MASK.long : STACK_MASK.short;
    this.pointer = pointer & this.mask;
  }

  /** The stack that SS and RSP are. */
  static current(state: CpuState, errorCode = 0): Stack {
    return new Stack(state, currentSegment(state), state.reg(RSP), errorCode);
  }

  push(size: AccessSize, value: bigint): void {
    const pointer = (this.pointer - BigInt(size)) & this.mask;
    this.#state.write(this.#linear(pointer, size), size, BigInt.asUintN(size * 8, value));
    this.pointer = pointer;
  }

  pop(size: AccessSize): bigint {
    const value = this.#state.read(this.#linear(this.pointer, size), size);
    this.skip(size);
    return value;
  }

  /** Reads what lies `offset` bytes above the stack pointer. */
  peek(offset: number, size: AccessSize): bigint {
    return this.#state.read(this.#linear((this.pointer + BigInt(offset)) & this.mask, size), size);
  }

  skip(bytes: number): void {
    this.pointer = (this.pointer + BigInt(bytes)) & this.mask;
  }

  /** Meets the fault that a push of `size` bytes would. */
  probe(size: number): void {
    this.#state.probeWrite(this.#linear(this.pointer, size), size);
  }

  /** Sets RSP, as far as the stack's size reaches. */
  commit(): void {
    setStackPointer(this.#state, this.pointer, this.mask);
  }

  #linear(offset: bigint, size: number): bigint {
    const segment = this.#segment;
    if (segment === undefined) {
      if (!isCanonical(offset) || !isCanonical(offset + BigInt(size - 1))) this.#fail();
      return offset;
    }
    if (!isWithin(offset, size, segment.limit, segment.attributes)) this.#fail();
    return (segment.base + offset) & 0xffff_ffffn;
  }

  #fail(): never {
    this.#state.raise(VECTOR.ss, this.#errorCode);
  }
}

function currentSegment(state: CpuState): StackSegment | undefined {
  if (state.is64BitCode) return undefined;
  return { base: state.segmentBase(SS), limit: state.segmentLimit(SS), attributes: state.segmentAttributes(SS) };
}

/** The bits of RSP that the current stack uses. */
export function stackMask(state: CpuState): bigint {
  if (state.is64BitCode) return STACK_MASK.wide;
  return (state.segmentAttributes(SS) & ATTR.db) !== 0 ? STACK_MASK.long : STACK_MASK.short;
}

export function setStackPointer(state: CpuState, pointer: bigint, mask: bigint = stackMask(state)): void {
  const kept = mask === STACK_MASK.short ? state.reg(RSP) & 0xffff_0000n : 0n;
  state.setReg(RSP, kept | (pointer & mask));
}
