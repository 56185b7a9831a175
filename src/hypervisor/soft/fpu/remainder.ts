/** FPREM and FPREM1: the remainder of a division, exact, by steps where the operands are far apart. */

import { denormalOperand, nanAnswer } from './arithmetic.ts';
import { type Float80, INDEFINITE, KIND, kindOf, placeOf, zero } from './float80.ts';
import { bitLength, EXTENDED80 } from './ieee.ts';
import { type Rounding, toRegister } from './rounding.ts';

export interface Remainder {
  readonly value: Float80;
  /** The three low bits of the quotient, where it is complete; undefined if an operand was a NaN or invalid. */
  readonly quotient: number | undefined;
  /** Whether this was only a step: the operands are still 2^64 or more apart. */
  readonly partial: boolean;
}

function without(value: Float80): Remainder {
  return { value, quotient: undefined, partial: false };
}

function complete(value: Float80, quotient = 0): Remainder {
  return { value, quotient, partial: false };
}

/** x - y * q, q being x / y truncated (FPREM) or, if `nearest`, rounded to the nearest integer (FPREM1). */
export function remainder(r: Rounding, x: Float80, y: Float80, nearest: boolean): Remainder {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return without(nan);
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (kx === KIND.infinity || ky === KIND.zero) return without(r.invalid(INDEFINITE));
  if (denormalOperand(r, x, y) || kx === KIND.zero) return complete(x);
  if (ky === KIND.infinity)
    return complete(toRegister(r, x.sign, x.significand, placeOf(x), EXTENDED80.significandBits));
  const distance = topOf(x) - topOf(y);
  if (distance < (nearest ? -1 : 0))
    return complete(toRegister(r, x.sign, x.significand, placeOf(x), EXTENDED80.significandBits));
  return distance < 64 ? lastStep(r, x, y, nearest) : step(r, x, y, distance);
}

/** Exponent of a finite value's leading bit. */
function topOf(x: Float80): number {
  return placeOf(x) + bitLength(x.significand);
}

/** The remainder of operands less than 2^64 apart. */
function lastStep(r: Rounding, x: Float80, y: Float80, nearest: boolean): Remainder {
  const place = Math.min(placeOf(x), placeOf(y));
  const dividend = x.significand << BigInt(placeOf(x) - place);
  const divisor = y.significand << BigInt(placeOf(y) - place);
  let quotient = dividend / divisor;
  let rest = dividend - quotient * divisor;
  let sign = x.sign;
  const twice = rest << 1n;
  if (nearest && (twice > divisor || (twice === divisor && (quotient & 1n) !== 0n))) {
    quotient++;
    rest = divisor - rest;
    sign ^= 1;
  }
  const value = rest === 0n ? zero(x.sign) : toRegister(r, sign, rest, place, EXTENDED80.significandBits);
  return complete(value, Number(quotient & 7n));
}

/** Takes 32 to 63 bits off the distance. Processors differ in how many; the end is the same. */
function step(r: Rounding, x: Float80, y: Float80, distance: number): Remainder {
  const bits = (distance & 31) | 32;
  const place = placeOf(y) + distance - bits;
  const low = Math.min(placeOf(x), place);
  const dividend = x.significand << BigInt(placeOf(x) - low);
  const divisor = y.significand << BigInt(place - low);
  const value = toRegister(r, x.sign, dividend % divisor, low, EXTENDED80.significandBits);
  return { value, quotient: 0, partial: true };
}
