/**
 * The core of binary floating point (IEEE 754-2019) for any format: exact arithmetic on BigInt, then one rounding. What
 * differs between SSE and x87 (NaN rules, when a denormal operand counts, flushing) is with its users.
 *
 * The flags are those of MXCSR and of the x87 status word: both have the same six at the same places.
 */

/** A binary format. `significandBits` counts the integer bit, whether it is stored or not. */
export interface Format {
  readonly exponentBits: number;
  readonly significandBits: number;
}

export const BINARY32: Format = { exponentBits: 8, significandBits: 24 };
export const BINARY64: Format = { exponentBits: 11, significandBits: 53 };
export const EXTENDED80: Format = { exponentBits: 15, significandBits: 64 };

/** Rounding control, as in MXCSR.RC and the x87 control word. */
export const ROUND = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** Exception flags. */
export const EXCEPTION = {
  invalid: 1,
  denormal: 2,
  divideByZero: 4,
  overflow: 8,
  underflow: 16,
  precision: 32,
} as const;

/** How to round, and what came of it. */
export class Environment {
  /** ROUND. */
  rounding = 0;
  /** Tiny results become zero (and underflow and precision are flagged). */
  flushToZero = false;
  /** Whether underflow is masked: if it is, only an inexact tiny result is flagged, otherwise every tiny one. */
  underflowMasked = true;
  /** Whether overflow is masked: if it is, an overflow is always inexact. */
  overflowMasked = true;
  /** EXCEPTION bits so far. */
  flags = 0;
  /** Whether the last rounding made the magnitude larger (C1 of the x87). */
  roundedUp = false;
}

/** A number that is not zero: (-1)^sign * significand * 2^exponent, or a zero if the significand is 0. */
export interface Exact {
  sign: 0 | 1;
  significand: bigint;
  exponent: number;
}

export type Kind = 'zero' | 'finite' | 'infinity' | 'nan';

/** A datum taken apart. The significand of a NaN is its fraction with the quiet bit, without the integer bit. */
export interface Unpacked extends Exact {
  kind: Kind;
  denormal: boolean;
}

/** A datum ready to be packed: the biased exponent, and the significand with its integer bit. */
export interface Rounded {
  sign: 0 | 1;
  exponent: number;
  significand: bigint;
}

export const bias = (format: Format): number => 2 ** (format.exponentBits - 1) - 1;

/** The biased exponent of infinities and NaNs. */
export const specialExponent = (format: Format): number => 2 ** format.exponentBits - 1;

/** Number of bits of a number that is not negative; 0 for 0. */
export function bitLength(m: bigint): number {
  if (m < 1n << 64n) {
    const high = Number(m >> 32n);
    return high === 0 ? 32 - Math.clz32(Number(m)) : 64 - Math.clz32(high);
  }
  const hex = m.toString(16);
  return hex.length * 4 - Math.clz32(Number.parseInt(hex[0]!, 16)) + 28;
}

/** Takes apart a datum whose integer bit is implied (binary32, binary64). */
export function unpack(format: Format, bits: bigint): Unpacked {
  const fractionBits = format.significandBits - 1;
  const fraction = BigInt.asUintN(fractionBits, bits);
  const biased = Number(BigInt.asUintN(format.exponentBits, bits >> BigInt(fractionBits)));
  const sign = ((bits >> BigInt(fractionBits + format.exponentBits)) & 1n) === 0n ? 0 : 1;
  const exponent = Math.max(biased, 1) - bias(format) - fractionBits;
  if (biased === specialExponent(format)) {
    return { kind: fraction === 0n ? 'infinity' : 'nan', sign, significand: fraction, exponent, denormal: false };
  }
  if (biased === 0) {
    const denormal = fraction !== 0n;
    return { kind: denormal ? 'finite' : 'zero', sign, significand: fraction, exponent, denormal };
  }
  const significand = fraction | (1n << BigInt(fractionBits));
  return { kind: 'finite', sign, significand, exponent, denormal: false };
}

/** Puts together a datum whose integer bit is implied. */
export function pack(format: Format, value: Rounded): bigint {
  const fractionBits = BigInt(format.significandBits - 1);
  const fraction = BigInt.asUintN(format.significandBits - 1, value.significand);
  const top = (BigInt(value.sign) << BigInt(format.exponentBits)) | BigInt(value.exponent);
  return (top << fractionBits) | fraction;
}

/** Drops the low `count` bits, rounding. A negative count shifts left. */
function dropBits(
  m: bigint,
  count: number,
  sign: 0 | 1,
  rounding: number,
): { kept: bigint; inexact: boolean; up: boolean } {
  if (count <= 0) return { kept: m << BigInt(-count), inexact: false, up: false };
  const kept = m >> BigInt(count);
  const rest = m - (kept << BigInt(count));
  if (rest === 0n) return { kept, inexact: false, up: false };
  const half = 1n << BigInt(count - 1);
  const nearestUp = rest > half || (rest === half && (kept & 1n) === 1n);
  const up =
    rounding === ROUND.nearest
      ? nearestUp
      : rounding === ROUND.up
        ? sign === 0
        : rounding === ROUND.down
          ? sign === 1
          : false;
  return { kept: up ? kept + 1n : kept, inexact: true, up };
}

function overflowed(format: Format, sign: 0 | 1, env: Environment, precision: number): Rounded {
  env.flags |= EXCEPTION.overflow;
  if (env.overflowMasked) env.flags |= EXCEPTION.precision;
  const { rounding } = env;
  const toInfinity = rounding === ROUND.nearest || rounding === (sign === 0 ? ROUND.up : ROUND.down);
  env.roundedUp = toInfinity;
  const integerBit = 1n << BigInt(format.significandBits - 1);
  if (toInfinity) return { sign, exponent: specialExponent(format), significand: integerBit };
  // The largest number of that precision.
  const ones = (1n << BigInt(precision)) - 1n;
  const significand = ones << BigInt(format.significandBits - precision);
  return { sign, exponent: specialExponent(format) - 1, significand };
}

/**
 * Rounds an exact number to a format and flags overflow, underflow (tininess after rounding, as x86 does) and precision.
 * A number whose rest below its last bit matters only by not being zero is given with one more bit that says so.
 *
 * Where overflow or underflow is unmasked, the result is of no use, and precision tells whether the significand was
 * rounded as if the exponent had no limits.
 *
 * @param precision significant bits to round to, if fewer than the format has (x87 precision control)
 */
export function round(format: Format, value: Exact, env: Environment, precision = format.significandBits): Rounded {
  const { sign, significand: m } = value;
  env.roundedUp = false;
  if (m === 0n) return { sign, exponent: 0, significand: 0n };
  const length = bitLength(m);
  const smallest = 1 - bias(format);
  let top = value.exponent + length - 1;
  let drop = length - precision;
  let tiny = false;
  let inexactFree = false;
  if (top < smallest) {
    const free = dropBits(m, drop, sign, env.rounding);
    tiny = !(top === smallest - 1 && bitLength(free.kept) > precision);
    inexactFree = free.inexact;
    drop += smallest - top;
    top = smallest;
  }
  if (tiny && env.flushToZero && env.underflowMasked) {
    env.flags |= EXCEPTION.underflow | EXCEPTION.precision;
    return { sign, exponent: 0, significand: 0n };
  }
  const { kept, inexact, up } = dropBits(m, drop, sign, env.rounding);
  env.roundedUp = up;
  if (tiny && !env.underflowMasked ? inexactFree : inexact) env.flags |= EXCEPTION.precision;
  if (tiny && (inexact || !env.underflowMasked)) env.flags |= EXCEPTION.underflow;
  let significand = kept;
  if (bitLength(kept) > precision) {
    significand >>= 1n;
    top++;
  }
  if (top > bias(format)) return overflowed(format, sign, env, precision);
  significand <<= BigInt(format.significandBits - precision);
  const normal = bitLength(significand) === format.significandBits;
  return { sign, exponent: normal ? top + bias(format) : 0, significand };
}

/** Rounds to an integer, flagging precision; the result is exact: its exponent is 0 or more. */
export function roundToInteger(value: Exact, env: Environment): Exact {
  env.roundedUp = false;
  if (value.exponent >= 0) return value;
  const { kept, inexact, up } = dropBits(value.significand, -value.exponent, value.sign, env.rounding);
  env.roundedUp = up;
  if (inexact) env.flags |= EXCEPTION.precision;
  return { sign: value.sign, significand: kept, exponent: 0 };
}

/** Far enough below the last bit that any format here keeps. */
const FAR = 200;

/** Replaces a number that is far below `top` (the place of another's leading bit) by the smallest that rounds alike. */
function clampBelow(value: Exact, top: number): Exact {
  if (value.significand === 0n || value.exponent + bitLength(value.significand) > top - FAR) return value;
  return { sign: value.sign, significand: 1n, exponent: top - FAR };
}

/** The exact sum. A zero sum of numbers that are not zero is +0, or -0 when rounding down. */
export function add(a: Exact, b: Exact, rounding: number): Exact {
  const topA = a.significand === 0n ? -Infinity : a.exponent + bitLength(a.significand);
  const topB = b.significand === 0n ? -Infinity : b.exponent + bitLength(b.significand);
  const x = topB === -Infinity ? a : clampBelow(a, topB);
  const y = topA === -Infinity ? b : clampBelow(b, topA);
  if (x.significand === 0n && y.significand === 0n && x.sign === y.sign) return x;
  if (x.significand === 0n && y.significand !== 0n) return y;
  if (y.significand === 0n && x.significand !== 0n) return x;
  const exponent = Math.min(x.exponent, y.exponent);
  const mx = x.significand << BigInt(x.exponent - exponent);
  const my = y.significand << BigInt(y.exponent - exponent);
  const sum = (x.sign === 0 ? mx : -mx) + (y.sign === 0 ? my : -my);
  if (sum === 0n) return { sign: rounding === ROUND.down ? 1 : 0, significand: 0n, exponent: 0 };
  return { sign: sum < 0n ? 1 : 0, significand: sum < 0n ? -sum : sum, exponent };
}

/** The exact product. */
export function multiply(a: Exact, b: Exact): Exact {
  return {
    sign: a.sign === b.sign ? 0 : 1,
    significand: a.significand * b.significand,
    exponent: a.exponent + b.exponent,
  };
}

/** The quotient of numbers that are not zero to more than `bits` bits, then a bit for the rest. */
export function divide(a: Exact, b: Exact, bits: number): Exact {
  const shift = Math.max(0, bits + 2 + bitLength(b.significand) - bitLength(a.significand));
  const dividend = a.significand << BigInt(shift);
  const quotient = dividend / b.significand;
  const rest = quotient * b.significand === dividend ? 0n : 1n;
  const exponent = a.exponent - b.exponent - shift - 1;
  return { sign: a.sign === b.sign ? 0 : 1, significand: (quotient << 1n) | rest, exponent };
}

/** The largest integer whose square is at most n. */
export function integerSquareRoot(n: bigint): bigint {
  let x = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (x + n / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
}

/** The square root of a positive number to more than `bits` bits, then a bit for the rest. */
export function squareRoot(a: Exact, bits: number): Exact {
  let shift = Math.max(0, 2 * (bits + 2) - bitLength(a.significand));
  if (((a.exponent - shift) & 1) !== 0) shift++;
  const radicand = a.significand << BigInt(shift);
  const root = integerSquareRoot(radicand);
  const rest = root * root === radicand ? 0n : 1n;
  return { sign: 0, significand: (root << 1n) | rest, exponent: (a.exponent - shift) / 2 - 1 };
}

/** Compares two numbers: negative, 0 or positive. Zeros of both signs are equal. */
export function compare(a: Exact, b: Exact): number {
  const difference = add(a, { ...b, sign: b.sign === 0 ? 1 : 0 }, ROUND.nearest);
  return difference.significand === 0n ? 0 : difference.sign === 0 ? 1 : -1;
}
