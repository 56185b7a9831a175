/**
 * Elementary functions on fixed-point numbers: BigInts that count 2^-FRACTION. Errors stay below 2^-300, so that results
 * with 64 significant bits are correctly rounded but for the rarest cases, even where they are as small as 2^-128.
 */
import { bitLength, integerSquareRoot } from './ieee.ts';

/** Bits after the point. */
export const FRACTION = 320;
const F = BigInt(FRACTION);
export const ONE = 1n << F;

function times(a: bigint, b: bigint): bigint {
  return (a * b) >> F;
}

/** The sum of z^(2k+1) / (2k+1), with alternating signs for the arc tangent, without for its hyperbolic sister. */
function oddSeries(z: bigint, alternating: boolean): bigint {
  const square = alternating ? -times(z, z) : times(z, z);
  let power = z;
  let total = z;
  for (let odd = 3n; power > 1n || power < -1n; odd += 2n) {
    power = times(power, square);
    total += power / odd;
  }
  return total;
}

/** The circle constant, by Machin's formula. */
export const PI = 16n * oddSeries(ONE / 5n, true) - 4n * oddSeries(ONE / 239n, true);
export const LN2 = 2n * oddSeries(ONE / 3n, false);
const LN10 = 3n * LN2 + 2n * oddSeries(ONE / 9n, false);
export const LOG2_E = (ONE << F) / LN2;
export const LOG2_10 = (LN10 << F) / LN2;
export const LOG10_2 = (LN2 << F) / LN10;

/** Sine and cosine of |x| <= 1. */
export function sinCos(x: bigint): { sin: bigint; cos: bigint } {
  const square = times(x, x);
  let sin = x;
  let cos = ONE;
  let sinTerm = x;
  let cosTerm = ONE;
  for (let n = 1n; cosTerm !== 0n; n += 2n) {
    cosTerm = -(times(cosTerm, square) / (n * (n + 1n)));
    sinTerm = -(times(sinTerm, square) / ((n + 1n) * (n + 2n)));
    cos += cosTerm;
    sin += sinTerm;
  }
  return { sin, cos };
}

/** e^x - 1 for |x| <= 1. */
export function expMinus1(x: bigint): bigint {
  let total = 0n;
  let term = ONE;
  for (let n = 1n; term > 1n || term < -1n; n++) {
    term = times(term, x) / n;
    total += term;
  }
  return total;
}

/** log2 of x > 0. */
export function log2(x: bigint): bigint {
  // x = m * 2^k with m from about 0.7 to 1.4, where m - 1 keeps all bits that x has near 1.
  let k = bitLength(x) - FRACTION - 1;
  const isOver = k >= 0 ? x * x > 2n * ((ONE * ONE) << BigInt(2 * k)) : (x * x) << BigInt(-2 * k) > 2n * ONE * ONE;
  if (isOver) k++;
  const one = k >= 0 ? ONE << BigInt(k) : ONE;
  const m = k >= 0 ? x : x << BigInt(-k);
  const z = ((m - one) << F) / (m + one);
  return BigInt(k) * ONE + times(2n * oddSeries(z, false), LOG2_E);
}

/** The arc tangent of 0 <= x <= 1. */
export function atan(x: bigint): bigint {
  let small = x;
  for (let halvings = 0; halvings < 2; halvings++) {
    const root = integerSquareRoot(ONE * ONE + small * small);
    small = (small << F) / (ONE + root);
  }
  return 4n * oddSeries(small, true);
}
