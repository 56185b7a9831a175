/** Rounding of exact results to x87 registers, with the exceptions that come of it (Intel SDM vol. 1, 4.9.1 and 8.5). */
import { Float80, infinity, zero } from './float80.ts';
import { Environment, EXCEPTION, EXTENDED80, round } from './ieee.ts';

/** Bit 6 of the status word: an invalid operation was a stack fault. */
export const STACK_FAULT = 1 << 6;

/** Significant bits of results by precision control (bits 8-9 of the control word). 1 is reserved. */
const PRECISIONS: readonly number[] = [24, 64, 53, 64];

/** An unmasked overflow or underflow moves the exponent of a result in a register by this, to bring it into range. */
const EXPONENT_WRAP = 24576;

/** How the instruction that is being executed rounds, and the exceptions that it met. */
export class Rounding extends Environment {
  /** Significant bits of results that precision control applies to. */
  precision = 64;
  /** Masked exceptions. */
  masks = 0x3f;
  /** Whether the memory operand was denormal in its own format: in 80 bits it no longer is. */
  denormalSource = false;

  /** Starts an instruction under a control word. */
  begin(control: number): void {
    this.masks = control & 0x3f;
    this.precision = PRECISIONS[(control >> 8) & 3]!;
    this.rounding = (control >> 10) & 3;
    this.underflowMasked = this.isMasked(EXCEPTION.underflow);
    this.flags = 0;
    this.roundedUp = false;
    this.denormalSource = false;
  }

  raise(exceptions: number): void {
    this.flags |= exceptions;
  }

  /** The answer to an invalid operation. */
  invalid<T>(answer: T): T {
    this.flags |= EXCEPTION.invalid;
    return answer;
  }

  /** Whether an unmasked exception keeps registers and memory as they were. */
  get refused(): boolean {
    const before = EXCEPTION.invalid | EXCEPTION.denormal | EXCEPTION.divideByZero;
    return (this.flags & ~this.masks & before) !== 0;
  }

  /** The same for a result that goes to memory: there an overflow or underflow that is not masked stores nothing. */
  get storeRefused(): boolean {
    return (this.flags & ~this.masks & ~(EXCEPTION.precision | STACK_FAULT)) !== 0;
  }

  isMasked(exception: number): boolean {
    return (this.masks & exception) !== 0;
  }
}

/** Rounds (-1)^sign * magnitude * 2^place to a register, by default under precision control. The magnitude may be 0. */
export function toRegister(
  r: Rounding,
  sign: number,
  magnitude: bigint,
  place: number,
  precision: number = r.precision,
): Float80 {
  const before = r.flags;
  r.flags = 0;
  const value = { sign: sign === 0 ? 0 : 1, significand: magnitude, exponent: place } as const;
  const rounded = round(EXTENDED80, value, r, precision);
  const trap = r.flags & ~r.masks & (EXCEPTION.overflow | EXCEPTION.underflow);
  r.flags |= before;
  if (trap === 0) return new Float80(sign, rounded.exponent, rounded.significand);
  r.flags = 0;
  const wrap = trap === EXCEPTION.overflow ? -EXPONENT_WRAP : EXPONENT_WRAP;
  const wrapped = round(EXTENDED80, { ...value, exponent: place + wrap }, r, precision);
  const farOut = (r.flags & trap) !== 0;
  r.flags |= before | trap;
  if (!farOut) return new Float80(sign, wrapped.exponent, wrapped.significand);
  // FSCALE can go so far out of range that the wrapped exponent is still there.
  r.raise(EXCEPTION.precision);
  r.roundedUp = trap === EXCEPTION.overflow;
  return r.roundedUp ? infinity(sign) : zero(sign);
}
