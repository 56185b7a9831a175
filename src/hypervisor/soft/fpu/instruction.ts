/** What an x87 instruction is to this unit, and the ways to its operands. */
import { FLAG } from '../architecture.ts';
import { readArithmeticFlags, writeArithmeticFlags } from '../flags-image.ts';
import { SLOT } from '../state.ts';
import { fromFloat, fromInteger } from './convert.ts';
import { Float80 } from './float80.ts';
import type { RegisterStack } from './register-stack.ts';

/** An instruction is done, but an exception that is not masked keeps it from storing its result. */
export const NO_STORE = -1;

/**
 * Executes an instruction. a and b are ST indices, a the destination; size is that of the memory operand in bytes, or 0.
 * Returns NO_STORE, or nothing when it is done.
 */
export type Instruction = (s: RegisterStack, a: number, b: number, size: number) => number | undefined;

/** The memory operand's low 8 bytes, as they are. */
export function memoryBits(s: RegisterStack): bigint {
  return s.view.getBigUint64(s.cpu + SLOT.t1, true);
}

/** Bytes 8 and 9 of a memory operand of 10. */
export function memoryHigh(s: RegisterStack): number {
  return s.view.getUint16(s.cpu + SLOT.t2, true);
}

/** The memory operand as a single or double. Notes in the rounding whether it is denormal. */
export function memoryFloat(s: RegisterStack, size: number): Float80 {
  const bits = BigInt.asUintN(size * 8, memoryBits(s));
  const { value, denormal } = fromFloat(bits, size);
  s.rounding.denormalSource = denormal;
  return value;
}

export function memoryInteger(s: RegisterStack, size: number): Float80 {
  return fromInteger(memoryBits(s), size);
}

export function memoryExtended(s: RegisterStack): Float80 {
  const high = memoryHigh(s);
  return new Float80(high >> 15, high & 0x7fff, memoryBits(s));
}

/** Leaves a result for the store that follows. */
export function toMemory(s: RegisterStack, low: bigint, high = 0): void {
  s.view.setBigUint64(s.cpu + SLOT.t1, low, true);
  s.view.setBigUint64(s.cpu + SLOT.t2, BigInt(high), true);
}

/** Sets ZF, PF and CF, and clears OF, SF and AF. */
export function setFlags(s: RegisterStack, zf: boolean, pf: boolean, cf: boolean): void {
  writeArithmeticFlags(s.view, s.cpu, (zf ? FLAG.zf : 0) | (pf ? FLAG.pf : 0) | (cf ? FLAG.cf : 0));
}

const holds =
  (flag: number) =>
  (s: RegisterStack): boolean =>
    (readArithmeticFlags(s.view, s.cpu) & flag) !== 0;

export const zeroFlag = holds(FLAG.zf);
export const carryFlag = holds(FLAG.cf);
export const parityFlag = holds(FLAG.pf);
