/**
 * The basic arithmetic of x87 on 80-bit values (Intel SDM vol. 1, 8.3.5 to 8.3.6). Each function raises its exceptions
 * in the Rounding that it is given and returns the masked answer; the caller drops it if the exception is not masked.
 */
import {
  exactly,
  exactOf,
  type Float80,
  INDEFINITE,
  infinity,
  isNan,
  KIND,
  kindOf,
  negated,
  placeOf,
  quieted,
  zero,
} from './float80.ts';
import * as ieee from './ieee.ts';
import { EXCEPTION, EXTENDED80 } from './ieee.ts';
import { type Rounding, toRegister } from './rounding.ts';

/** Bits of quotients and roots that rounding needs, at least. */
const QUOTIENT_BITS = 66;

/** The answer where an operand is a NaN or unsupported; undefined where none is. Table 4-7. */
export function nanAnswer(r: Rounding, x: Float80, y: Float80): Float80 | undefined {
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (kx === KIND.unsupported || ky === KIND.unsupported) return r.invalid(INDEFINITE);
  if (!isNan(kx) && !isNan(ky)) return undefined;
  if (kx === KIND.signaling || ky === KIND.signaling) r.raise(EXCEPTION.invalid);
  if (!isNan(ky)) return quieted(x);
  if (!isNan(kx)) return quieted(y);
  // A quiet NaN goes before a signaling one, then the larger significand, then the positive one.
  if (kx !== ky) return kx === KIND.quiet ? x : y;
  if (x.significand !== y.significand) return quieted(x.significand > y.significand ? x : y);
  return quieted(x.sign <= y.sign ? x : y);
}

/** Like nanAnswer, of one operand. */
export function nanAnswer1(r: Rounding, x: Float80): Float80 | undefined {
  return nanAnswer(r, x, x);
}

/** Raises the denormal-operand exception if one is. True if that is not masked: there is no result then. */
export function denormalOperand(r: Rounding, x: Float80, y: Float80 = x): boolean {
  if (r.denormalSource || kindOf(x) === KIND.denormal || kindOf(y) === KIND.denormal) r.raise(EXCEPTION.denormal);
  return r.refused;
}

export function add(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (kx === KIND.infinity && ky === KIND.infinity && x.sign !== y.sign) return r.invalid(INDEFINITE);
  if (denormalOperand(r, x, y)) return x;
  if (kx === KIND.infinity) return x;
  if (ky === KIND.infinity) return y;
  return toRegisterExact(r, ieee.add(exactOf(x), exactOf(y), r.rounding));
}

function toRegisterExact(r: Rounding, value: ieee.Exact): Float80 {
  return toRegister(r, value.sign, value.significand, value.exponent);
}

export function subtract(r: Rounding, x: Float80, y: Float80): Float80 {
  return isNan(kindOf(y)) ? add(r, x, y) : add(r, x, negated(y));
}

export function multiply(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  const sign = x.sign ^ y.sign;
  if (kx === KIND.infinity || ky === KIND.infinity) {
    if (kx === KIND.zero || ky === KIND.zero) return r.invalid(INDEFINITE);
    denormalOperand(r, x, y);
    return infinity(sign);
  }
  if (denormalOperand(r, x, y)) return x;
  return toRegisterExact(r, ieee.multiply(exactOf(x), exactOf(y)));
}

export function divide(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  const sign = x.sign ^ y.sign;
  if (kx === ky && (kx === KIND.infinity || kx === KIND.zero)) return r.invalid(INDEFINITE);
  if (ky === KIND.zero && kx !== KIND.infinity) {
    // Then a denormal dividend is no exception of its own.
    r.raise(EXCEPTION.divideByZero);
    return infinity(sign);
  }
  if (denormalOperand(r, x, y)) return x;
  if (kx === KIND.infinity || ky === KIND.zero) return infinity(sign);
  if (ky === KIND.infinity || kx === KIND.zero) return zero(sign);
  return toRegisterExact(r, ieee.divide(exactOf(x), exactOf(y), QUOTIENT_BITS));
}

export function squareRoot(r: Rounding, x: Float80): Float80 {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return nan;
  const kind = kindOf(x);
  if (kind === KIND.zero) return x;
  if (x.sign !== 0) return r.invalid(INDEFINITE);
  if (denormalOperand(r, x) || kind === KIND.infinity) return x;
  return toRegisterExact(r, ieee.squareRoot(exactOf(x), QUOTIENT_BITS));
}

/** x rounded to an integer by the rounding mode. */
export function roundToInteger(r: Rounding, x: Float80): Float80 {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return nan;
  const kind = kindOf(x);
  if (kind === KIND.infinity || kind === KIND.zero) return x;
  if (denormalOperand(r, x)) return x;
  const integer = ieee.roundToInteger(exactOf(x), r);
  return exactly(x.sign, integer.significand, integer.exponent);
}

/** x * 2^(y truncated to an integer). */
export function scale(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (ky === KIND.infinity) {
    if (y.sign === 0 ? kx === KIND.zero : kx === KIND.infinity) return r.invalid(INDEFINITE);
    if (denormalOperand(r, x, y)) return x;
    return y.sign === 0 ? infinity(x.sign) : zero(x.sign);
  }
  if (denormalOperand(r, x, y) || kx === KIND.infinity || kx === KIND.zero) return x;
  return toRegister(r, x.sign, x.significand, placeOf(x) + scaleCount(y), EXTENDED80.significandBits);
}

/** A finite value truncated to an integer, limited to what overflows or underflows everything. */
function scaleCount(y: Float80): number {
  const limit = 0x10000;
  const place = placeOf(y);
  const size = place >= 0 ? limit : place < -63 ? 0 : Math.min(Number(y.significand >> BigInt(-place)), limit);
  const count = y.significand === 0n ? 0 : size;
  return y.sign === 0 ? count : -count;
}

/** Outcomes of a comparison, as C3, C2 and C0 at their places in the status word. */
export const COMPARED = { greater: 0, less: 0x100, equal: 0x4000, unordered: 0x4500 } as const;

/** Compares x with y: one of COMPARED. A quiet NaN is invalid unless `quiet`. */
export function compare(r: Rounding, x: Float80, y: Float80, quiet: boolean): number {
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (kx === KIND.unsupported || ky === KIND.unsupported) return r.invalid(COMPARED.unordered);
  if (isNan(kx) || isNan(ky)) {
    if (!quiet || kx === KIND.signaling || ky === KIND.signaling) r.raise(EXCEPTION.invalid);
    return COMPARED.unordered;
  }
  denormalOperand(r, x, y);
  if (kx === KIND.zero && ky === KIND.zero) return COMPARED.equal;
  if (x.sign !== y.sign) return x.sign === 0 ? COMPARED.greater : COMPARED.less;
  const order = compareMagnitudes(x, y);
  if (order === 0) return COMPARED.equal;
  return order > 0 === (x.sign === 0) ? COMPARED.greater : COMPARED.less;
}

function compareMagnitudes(x: Float80, y: Float80): number {
  const byPlace = placeOf(x) - placeOf(y);
  if (byPlace !== 0) return byPlace;
  return x.significand === y.significand ? 0 : x.significand > y.significand ? 1 : -1;
}
