/**
 * The basic arithmetic of x87 on 80-bit values (Intel SDM vol. 1, 8.3.5 to 8.3.6). Each function raises its exceptions
 * in the Rounding that it is given and returns the masked answer; the caller drops it if the exception is not masked.
 */
import {
  bitLength,
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
import { EXCEPTION, EXTENDED, ROUND, type Rounding, roundAt, toRegister } from './rounding.ts';

/** Bits that a smaller addend is kept away by when only its being there matters: more than any format's precision. */
const FAR = 130;

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
  if (ky === KIND.zero && kx === KIND.zero) return zero(x.sign === y.sign ? x.sign : cancelledSign(r));
  if (ky === KIND.zero) return toRegister(r, x.sign, x.significand, placeOf(x));
  if (kx === KIND.zero) return toRegister(r, y.sign, y.significand, placeOf(y));
  return placeOf(x) >= placeOf(y) ? sum(r, x, y) : sum(r, y, x);
}

function cancelledSign(r: Rounding): number {
  return r.mode === ROUND.down ? 1 : 0;
}

/** Of finite values that are not zero; x has the greater or the same place. */
function sum(r: Rounding, x: Float80, y: Float80): Float80 {
  const distance = placeOf(x) - placeOf(y);
  const far = distance > FAR;
  const shift = far ? FAR : distance;
  const ym = far ? 1n : y.significand;
  const xm = x.significand << BigInt(shift);
  const total = x.sign === y.sign ? xm + ym : xm - ym;
  if (total === 0n) return zero(cancelledSign(r));
  const sign = total < 0n ? x.sign ^ 1 : x.sign;
  return toRegister(r, sign, total < 0n ? -total : total, placeOf(x) - shift);
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
  return toRegister(r, sign, x.significand * y.significand, placeOf(x) + placeOf(y));
}

export function divide(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  const sign = x.sign ^ y.sign;
  if (kx === ky && (kx === KIND.infinity || kx === KIND.zero)) return r.invalid(INDEFINITE);
  if (ky === KIND.zero && kx !== KIND.infinity) {
    r.raise(EXCEPTION.zeroDivide);
    return infinity(sign);
  }
  if (denormalOperand(r, x, y)) return x;
  if (kx === KIND.infinity || ky === KIND.zero) return infinity(sign);
  if (ky === KIND.infinity || kx === KIND.zero) return zero(sign);
  const { magnitude, place } = quotient(x.significand, placeOf(x), y.significand, placeOf(y), 67);
  return toRegister(r, sign, magnitude, place);
}

/** The jammed quotient of two magnitudes that are not zero, to at least `bits` bits. */
export function quotient(
  n: bigint,
  nPlace: number,
  d: bigint,
  dPlace: number,
  bits: number,
): { magnitude: bigint; place: number } {
  const shift = Math.max(0, bits + bitLength(d) - bitLength(n));
  const shifted = n << BigInt(shift);
  const q = shifted / d;
  return {
    magnitude: q * d === shifted ? q : (q << 1n) | 1n,
    place: nPlace - dPlace - shift - (q * d === shifted ? 0 : 1),
  };
}

export function squareRoot(r: Rounding, x: Float80): Float80 {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return nan;
  const kind = kindOf(x);
  if (kind === KIND.zero) return x;
  if (x.sign !== 0) return r.invalid(INDEFINITE);
  if (denormalOperand(r, x) || kind === KIND.infinity) return x;
  // An even place, and enough bits for a root of at least 67.
  let shift = Math.max(0, 136 - bitLength(x.significand));
  if (((placeOf(x) - shift) & 1) !== 0) shift++;
  const radicand = x.significand << BigInt(shift);
  const root = integerSquareRoot(radicand);
  const place = (placeOf(x) - shift) / 2;
  if (root * root === radicand) return toRegister(r, 0, root, place);
  return toRegister(r, 0, (root << 1n) | 1n, place - 1);
}

/** Greatest integer whose square is at most n; n has less than 1000 bits. */
export function integerSquareRoot(n: bigint): bigint {
  let root = BigInt(Math.floor(Math.sqrt(Number(n))));
  if (root === 0n) return 0n;
  for (;;) {
    const next = (root + n / root) >> 1n;
    const step = next - root;
    root = next;
    if (step <= 1n && step >= -1n) break;
  }
  while (root * root > n) root--;
  while ((root + 1n) * (root + 1n) <= n) root++;
  return root;
}

/** x rounded to an integer by the rounding mode. */
export function roundToInteger(r: Rounding, x: Float80): Float80 {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return nan;
  const kind = kindOf(x);
  if (kind === KIND.infinity || kind === KIND.zero) return x;
  if (denormalOperand(r, x) || placeOf(x) >= 0) return x;
  const place = Math.max(placeOf(x), -FAR);
  const magnitude = place === placeOf(x) ? x.significand : 1n;
  const integer = roundAt(r, x.sign, magnitude, place, 0);
  if (integer << BigInt(-place) !== magnitude) r.raise(EXCEPTION.precision);
  const up = r.up;
  const result = toRegister(r, x.sign, integer, 0, EXTENDED);
  r.up = up;
  return result;
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
  return toRegister(r, x.sign, x.significand, placeOf(x) + scaleCount(y), EXTENDED);
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
