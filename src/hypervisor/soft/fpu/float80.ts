/** Values of the 80-bit double extended format, their classes and encodings (Intel SDM vol. 1, 4.2.2 and 8.2). */

import { bitLength, type Exact } from './ieee.ts';

/** One value of the format, as its three fields. */
export class Float80 {
  /** 0 or 1. */
  readonly sign: number;
  /** Biased: 0 to 32767. */
  readonly exponent: number;
  /** 64 bits; bit 63 is the integer bit. */
  readonly significand: bigint;

  constructor(sign: number, exponent: number, significand: bigint) {
    this.sign = sign;
    this.exponent = exponent;
    this.significand = significand;
  }
}

/** Classes of values, as FXAM tells them apart; NaNs by their quiet bit. Pseudo-denormals are `denormal`. */
export const KIND = { zero: 0, denormal: 1, normal: 2, infinity: 3, quiet: 4, signaling: 5, unsupported: 6 } as const;

export const EXPONENT_MAX = 0x7fff;
/** What is added to the exponent of the integer bit. */
export const BIAS = 16383;
/** What is added to the exponent of the last place. */
const PLACE = BIAS + 63;
export const INTEGER_BIT = 1n << 63n;
const QUIET_BIT = 1n << 62n;

/** The masked answer to an invalid operation. */
export const INDEFINITE = new Float80(1, EXPONENT_MAX, INTEGER_BIT | QUIET_BIT);

export function zero(sign: number): Float80 {
  return new Float80(sign, 0, 0n);
}

export function infinity(sign: number): Float80 {
  return new Float80(sign, EXPONENT_MAX, INTEGER_BIT);
}

/** The class of a value: one of KIND. */
export function kindOf(x: Float80): number {
  const integerBit = x.significand >= INTEGER_BIT;
  if (x.exponent === 0) return x.significand === 0n ? KIND.zero : KIND.denormal;
  if (!integerBit) return KIND.unsupported;
  if (x.exponent !== EXPONENT_MAX) return KIND.normal;
  if (x.significand === INTEGER_BIT) return KIND.infinity;
  return (x.significand & QUIET_BIT) !== 0n ? KIND.quiet : KIND.signaling;
}

export function isNan(kind: number): boolean {
  return kind === KIND.quiet || kind === KIND.signaling;
}

/** Power of two of a finite value's last place: the value is significand * 2^placeOf. */
export function placeOf(x: Float80): number {
  return (x.exponent === 0 ? 1 : x.exponent) - PLACE;
}

export function quieted(x: Float80): Float80 {
  return new Float80(x.sign, x.exponent, x.significand | QUIET_BIT);
}

export function negated(x: Float80): Float80 {
  return new Float80(x.sign ^ 1, x.exponent, x.significand);
}

/** significand * 2^place, where that is exact: the significand has 1 to 64 bits and the result is a normal number. */
export function exactly(sign: number, significand: bigint, place: number): Float80 {
  if (significand === 0n) return zero(sign);
  const length = bitLength(significand);
  return new Float80(sign, place + PLACE - 64 + length, significand << BigInt(64 - length));
}

/** A finite value for exact arithmetic. */
export function exactOf(x: Float80): Exact {
  return { sign: x.sign === 0 ? 0 : 1, significand: x.significand, exponent: placeOf(x) };
}
