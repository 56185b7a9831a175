/** Conversions between the 80-bit format and what memory operands hold: singles, doubles and integers. */
import {
  bitLength,
  EXPONENT_MAX,
  exactly,
  Float80,
  INDEFINITE,
  infinity,
  isNan,
  KIND,
  kindOf,
  placeOf,
  quieted,
} from './float80.ts';
import { DOUBLE, EXCEPTION, type Format, type Rounding, roundAt, roundTo, SINGLE } from './rounding.ts';

function formatOf(size: number): Format {
  return size === 4 ? SINGLE : DOUBLE;
}

/** The value of a single (size 4) or double (size 8) given by its bits. Raises nothing; a signaling NaN stays one. */
export function fromFloat(bits: bigint, size: number): Float80 {
  const { precision, minExponent, maxExponent } = formatOf(size);
  const fractionBits = BigInt(precision - 1);
  const fraction = bits & ((1n << fractionBits) - 1n);
  const sign = Number(bits >> BigInt(size * 8 - 1));
  const exponent = Number(bits >> fractionBits) & (2 * maxExponent + 1);
  if (exponent === 2 * maxExponent + 1) {
    if (fraction === 0n) return infinity(sign);
    return new Float80(sign, EXPONENT_MAX, (fraction | (1n << fractionBits)) << BigInt(64 - precision));
  }
  if (exponent === 0) return exactly(sign, fraction, minExponent - precision + 1);
  return exactly(sign, fraction | (1n << fractionBits), exponent - maxExponent - precision + 1);
}

/** Whether the bits of a single or double are a denormal number. */
export function isDenormalFloat(bits: bigint, size: number): boolean {
  const { precision, maxExponent } = formatOf(size);
  const fraction = bits & ((1n << BigInt(precision - 1)) - 1n);
  return fraction !== 0n && (Number(bits >> BigInt(precision - 1)) & (2 * maxExponent + 1)) === 0;
}

/** The bits of a value rounded to a single (size 4) or double (size 8). */
export function toFloat(r: Rounding, x: Float80, size: number): bigint {
  const format = formatOf(size);
  const { precision, minExponent, maxExponent } = format;
  const pack = (sign: number, exponent: number, fraction: bigint): bigint =>
    (BigInt(sign) << BigInt(size * 8 - 1)) | (BigInt(exponent) << BigInt(precision - 1)) | fraction;
  const top = 2 * maxExponent + 1;
  const kind = kindOf(x);
  if (kind === KIND.unsupported) return r.invalid(toFloat(r, INDEFINITE, size));
  if (isNan(kind)) {
    if (kind === KIND.signaling) r.raise(EXCEPTION.invalid);
    const fraction = (quieted(x).significand >> BigInt(64 - precision)) & ((1n << BigInt(precision - 1)) - 1n);
    return pack(x.sign, top, fraction);
  }
  if (kind === KIND.infinity) return pack(x.sign, top, 0n);
  if (kind === KIND.zero) return pack(x.sign, 0, 0n);
  const rounded = roundTo(r, x.sign, x.significand, placeOf(x), format);
  if (rounded.infinite) return pack(x.sign, top, 0n);
  const exponent = rounded.place + bitLength(rounded.significand) - 1;
  // An unmasked overflow or underflow stores nothing, and tells nothing of a rounding.
  if (r.storeRefused) {
    r.raised &= ~EXCEPTION.precision;
    r.up = false;
    return 0n;
  }
  if (exponent < minExponent) return pack(x.sign, 0, rounded.significand);
  return pack(x.sign, exponent + maxExponent, rounded.significand - (1n << BigInt(precision - 1)));
}

/** The value of a signed integer of `size` bytes, given by its bits. */
export function fromInteger(bits: bigint, size: number): Float80 {
  const value = BigInt.asIntN(size * 8, bits);
  return value < 0n ? exactly(1, -value, 0) : exactly(0, value, 0);
}

/** A value rounded to an integer by the rounding mode; undefined, and invalid raised, if its magnitude is over limit. */
export function toIntegerWithin(r: Rounding, x: Float80, limit: (sign: number) => bigint): bigint | undefined {
  const kind = kindOf(x);
  if (kind === KIND.zero) return 0n;
  const place = placeOf(x);
  if (kind >= KIND.infinity || place > 0) return r.invalid(undefined);
  // Below a quarter only the sign and that it is not zero matter.
  const far = place < -66;
  const integer = far ? roundAt(r, x.sign, 1n, -2, 0) : roundAt(r, x.sign, x.significand, place, 0);
  if (integer > limit(x.sign)) {
    r.up = false;
    return r.invalid(undefined);
  }
  if (far || integer << BigInt(-place) !== x.significand) r.raise(EXCEPTION.precision);
  return x.sign === 0 ? integer : -integer;
}

/** A value as a signed integer of `size` bytes: its bits; out of range it is the integer indefinite. */
export function toInteger(r: Rounding, x: Float80, size: number): bigint {
  const end = 1n << BigInt(size * 8 - 1);
  const value = toIntegerWithin(r, x, (sign) => (sign === 0 ? end - 1n : end));
  return BigInt.asUintN(size * 8, value ?? end);
}
