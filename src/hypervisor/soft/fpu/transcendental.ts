/**
 * The transcendental instructions of x87 (Intel SDM vol. 1, 8.3.7 to 8.3.10): special operands, and the fixed-point
 * functions for the rest. Results do not depend on precision control and are rounded by the rounding mode.
 */
import { denormalOperand, nanAnswer, nanAnswer1 } from './arithmetic.ts';
import { atan, expMinus1, FRACTION, LN2, LOG2_E, log2, ONE, PI, sinCos } from './fixed-point.ts';
import { exactly, exactOf, type Float80, INDEFINITE, infinity, KIND, kindOf, placeOf, zero } from './float80.ts';
import { bitLength, divide, EXCEPTION, EXTENDED80 } from './ieee.ts';
import { type Rounding, toRegister } from './rounding.ts';

export const ONE_80 = exactly(0, 1n, 0);
/** Arguments below 2^-TINY are taken care of by the first term of a series: the next is beyond all precision. */
const TINY = 128;
/** Half of pi as x87 processors know it when they reduce an argument: from the 66 leading bits of pi. */
const HALF_PI_66 = 0x3_243f_6a88_85a3_08d3n << BigInt(FRACTION - 65);

/** Exponent of a finite value's leading bit, plus one. */
function topOf(x: Float80): number {
  return placeOf(x) + bitLength(x.significand);
}

function isPowerOf2(x: Float80): boolean {
  return (x.significand & (x.significand - 1n)) === 0n;
}

/** A finite value that is not below 2^-TINY as a fixed-point magnitude. */
function toFixed(x: Float80): bigint {
  return x.significand << BigInt(placeOf(x) + FRACTION);
}

/** Rounds an irrational number of which `magnitude` * 2^place is a good approximation. */
function approximately(r: Rounding, sign: number, magnitude: bigint, place: number): Float80 {
  return toRegister(r, sign, (magnitude << 1n) | 1n, place - 1, EXTENDED80.significandBits);
}

/** Rounds what differs from significand * 2^place by almost nothing, towards zero or away from it. */
function nearly(r: Rounding, sign: number, significand: bigint, place: number, below: boolean): Float80 {
  const magnitude = significand << BigInt(TINY);
  return toRegister(r, sign, below ? magnitude - 1n : magnitude + 1n, place - TINY, EXTENDED80.significandBits);
}

function fixed(r: Rounding, value: bigint): Float80 {
  return value < 0n ? approximately(r, 1, -value, -FRACTION) : approximately(r, 0, value, -FRACTION);
}

/** The trigonometric functions of one value, rounded when they are asked for. */
export interface Angle {
  readonly sin: (r: Rounding) => Float80;
  readonly cos: (r: Rounding) => Float80;
  readonly tan: (r: Rounding) => Float80;
}

/** Whether x is finite and 2^63 or more: too large for a trigonometric function, which then only sets C2. */
export function isTooLarge(x: Float80): boolean {
  return kindOf(x) === KIND.normal && topOf(x) > 63;
}

/** The answer of a trigonometric function to an operand that has no angle; undefined if it has one. */
export function noAngle(r: Rounding, x: Float80): Float80 | undefined {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return nan;
  return kindOf(x) === KIND.infinity ? r.invalid(INDEFINITE) : undefined;
}

/** The angle of a finite value below 2^63, in radians. Those near 0 follow from the first term of a series. */
export function angleOf(x: Float80): Angle {
  const { sign, significand } = x;
  if (kindOf(x) === KIND.zero) return { sin: () => x, cos: () => ONE_80, tan: () => x };
  if (topOf(x) < -TINY / 2) {
    return {
      sin: (r) => nearly(r, sign, significand, placeOf(x), true),
      cos: (r) => nearly(r, 0, 1n, 0, true),
      tan: (r) => nearly(r, sign, significand, placeOf(x), false),
    };
  }
  const magnitude = toFixed(x);
  const quarters = (2n * magnitude + HALF_PI_66) / (2n * HALF_PI_66);
  const { sin, cos } = rotated(sinCos(magnitude - quarters * HALF_PI_66), Number(quarters & 3n));
  const signedSin = sign === 0 ? sin : -sin;
  return {
    sin: (r) => fixed(r, signedSin),
    cos: (r) => fixed(r, cos),
    tan: (r) => fixed(r, (signedSin << BigInt(FRACTION)) / cos),
  };
}

/** Sine and cosine of an angle that is larger by a number of quarter turns. */
function rotated(angle: { sin: bigint; cos: bigint }, quarters: number): { sin: bigint; cos: bigint } {
  const { sin, cos } = angle;
  if (quarters === 0) return angle;
  if (quarters === 1) return { sin: cos, cos: -sin };
  return quarters === 2 ? { sin: -sin, cos: -cos } : { sin: -cos, cos: sin };
}

/** 2^x - 1. Beyond -1 and 1, where it is not defined, x comes back. */
export function exp2Minus1(r: Rounding, x: Float80): Float80 {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return nan;
  const kind = kindOf(x);
  if (kind === KIND.infinity) return x.sign === 0 ? x : exactly(1, 1n, 0);
  if (kind === KIND.zero || denormalOperand(r, x)) return x;
  const top = topOf(x);
  if (top > 0) return x.sign === 0 || top > 1 || !isPowerOf2(x) ? x : exactly(1, 1n, -1);
  if (top < -TINY) return approximately(r, x.sign, x.significand * LN2, placeOf(x) - FRACTION);
  const exponent = (toFixed(x) * LN2) >> BigInt(FRACTION);
  return fixed(r, expMinus1(x.sign === 0 ? exponent : -exponent));
}

/** y * log2(x). */
export function yLog2(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (kx === KIND.zero) return yLog2Zero(r, y);
  if (x.sign !== 0) return r.invalid(INDEFINITE);
  const order =
    kx === KIND.infinity ? 1 : topOf(x) > 1 ? 1 : topOf(x) < 1 ? -1 : x.significand & (x.significand - 1n) ? 1 : 0;
  const sign = order < 0 ? y.sign ^ 1 : y.sign;
  if (kx === KIND.infinity && ky === KIND.zero) return r.invalid(INDEFINITE);
  if (ky === KIND.infinity && order === 0) return r.invalid(INDEFINITE);
  if (denormalOperand(r, x, y)) return y;
  if (kx === KIND.infinity || ky === KIND.infinity) return infinity(sign);
  if (ky === KIND.zero || order === 0) return zero(sign);
  const length = bitLength(x.significand);
  if (isPowerOf2(x)) {
    // A power of two has an exact logarithm.
    return toRegister(r, sign, BigInt(Math.abs(topOf(x) - 1)) * y.significand, placeOf(y), EXTENDED80.significandBits);
  }
  const logarithm = log2(x.significand << BigInt(FRACTION + 1 - length)) + BigInt(topOf(x) - 1) * ONE;
  return approximately(r, sign, (logarithm < 0n ? -logarithm : logarithm) * y.significand, placeOf(y) - FRACTION);
}

/** y * log2 of zero. */
function yLog2Zero(r: Rounding, y: Float80): Float80 {
  const ky = kindOf(y);
  if (ky === KIND.zero) return r.invalid(INDEFINITE);
  if (ky !== KIND.infinity) r.raise(EXCEPTION.divideByZero);
  return infinity(y.sign ^ 1);
}

/** y * log2(x + 1). For x <= -1, where it is not defined, x comes back. */
export function yLog2Plus1(r: Rounding, x: Float80, y: Float80): Float80 {
  const nan = nanAnswer(r, x, y);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  const sign = x.sign ^ y.sign;
  if (kx === KIND.infinity && (x.sign !== 0 || ky === KIND.zero)) return r.invalid(INDEFINITE);
  if (ky === KIND.infinity && kx === KIND.zero) return r.invalid(INDEFINITE);
  if (denormalOperand(r, x, y)) return y;
  if (kx === KIND.infinity || ky === KIND.infinity) return infinity(sign);
  if (kx === KIND.zero || ky === KIND.zero) return zero(sign);
  if (topOf(x) < -TINY) {
    const product = x.significand * y.significand * LOG2_E;
    return approximately(r, sign, product, placeOf(x) + placeOf(y) - FRACTION);
  }
  // Far outside of the range that the instruction is defined for.
  if (x.sign !== 0 && topOf(x) > 0) return x;
  if (topOf(x) > TINY) return yLog2(r, x, y);
  const sum = x.sign === 0 ? ONE + toFixed(x) : ONE - toFixed(x);
  const logarithm = log2(sum);
  return approximately(r, sign, (logarithm < 0n ? -logarithm : logarithm) * y.significand, placeOf(y) - FRACTION);
}

/** The angle of the point (x, y), from -pi to pi. */
export function arcTangent(r: Rounding, y: Float80, x: Float80): Float80 {
  const nan = nanAnswer(r, y, x);
  if (nan !== undefined) return nan;
  const kx = kindOf(x);
  const ky = kindOf(y);
  if (denormalOperand(r, x, y)) return y;
  if (ky === KIND.zero || kx === KIND.infinity || ky === KIND.infinity || kx === KIND.zero) return onAxis(r, y, x);
  const distance = topOf(y) - topOf(x);
  if (x.sign === 0 && distance < -TINY) {
    const q = divide(exactOf(y), exactOf(x), 200);
    return nearly(r, y.sign, q.significand, q.exponent, true);
  }
  const steep = distance > 0 || (distance === 0 && ratio(y, x) > ONE);
  const slope = atan(steep ? ratio(x, y) : ratio(y, x));
  const angle = steep ? PI / 2n - slope : slope;
  return approximately(r, y.sign, x.sign === 0 ? angle : PI - angle, -FRACTION);
}

/** The quotient of two magnitudes in fixed point, at most 2. */
function ratio(a: Float80, b: Float80): bigint {
  const shift = placeOf(a) - placeOf(b) + FRACTION;
  return shift < 0 ? 0n : (a.significand << BigInt(shift)) / b.significand;
}

/** The angle of a point on an axis or at infinity. */
function onAxis(r: Rounding, y: Float80, x: Float80): Float80 {
  const kx = kindOf(x);
  if (kindOf(y) === KIND.infinity) {
    if (kx !== KIND.infinity) return approximately(r, y.sign, PI / 2n, -FRACTION);
    return approximately(r, y.sign, x.sign === 0 ? PI / 4n : (3n * PI) / 4n, -FRACTION);
  }
  if (kindOf(y) === KIND.zero || kx === KIND.infinity) {
    return x.sign === 0 ? zero(y.sign) : approximately(r, y.sign, PI, -FRACTION);
  }
  return approximately(r, y.sign, PI / 2n, -FRACTION);
}
