/** Conversions between the 80-bit format and what memory operands hold: singles, doubles and integers. */
import {
  EXPONENT_MAX,
  exactly,
  exactOf,
  Float80,
  INDEFINITE,
  infinity,
  isNan,
  KIND,
  kindOf,
  placeOf,
  quieted,
} from './float80.ts';
import { BINARY32, BINARY64, EXCEPTION, pack, round, roundToInteger, specialExponent, unpack } from './ieee.ts';
import type { Rounding } from './rounding.ts';

/**
 * The value of a single (size 4) or double (size 8) given by its bits, and whether it is denormal there. Raises nothing;
 * a signaling NaN stays one.
 */
export function fromFloat(bits: bigint, size: number): { value: Float80; denormal: boolean } {
  const format = size === 4 ? BINARY32 : BINARY64;
  const { kind, sign, significand, exponent, denormal } = unpack(format, bits);
  if (kind === 'infinity') return { value: infinity(sign), denormal };
  if (kind !== 'nan') return { value: exactly(sign, significand, exponent), denormal };
  const integerBit = 1n << BigInt(format.significandBits - 1);
  const payload = (significand | integerBit) << BigInt(64 - format.significandBits);
  return { value: new Float80(sign, EXPONENT_MAX, payload), denormal };
}

/** The bits of a value rounded to a single (size 4) or double (size 8). */
export function toFloat(r: Rounding, x: Float80, size: number): bigint {
  const format = size === 4 ? BINARY32 : BINARY64;
  const special = (significand: bigint): bigint =>
    pack(format, { sign: x.sign === 0 ? 0 : 1, exponent: specialExponent(format), significand });
  const kind = kindOf(x);
  if (kind === KIND.unsupported) return r.invalid(toFloat(r, INDEFINITE, size));
  if (kind === KIND.signaling) r.raise(EXCEPTION.invalid);
  if (isNan(kind)) return special(quieted(x).significand >> BigInt(64 - format.significandBits));
  if (kind === KIND.infinity) return special(0n);
  const rounded = round(format, exactOf(x), r);
  if (r.storeRefused) {
    // An unmasked overflow or underflow stores nothing, and tells nothing of a rounding.
    r.flags &= ~EXCEPTION.precision;
    r.roundedUp = false;
  }
  return pack(format, rounded);
}

/** The value of a signed integer of `size` bytes, given by its bits. */
export function fromInteger(bits: bigint, size: number): Float80 {
  const value = BigInt.asIntN(size * 8, bits);
  return value < 0n ? exactly(1, -value, 0) : exactly(0, value, 0);
}

/** A value rounded to an integer by the rounding mode; undefined, and invalid raised, if its magnitude is over limit. */
export function toIntegerWithin(r: Rounding, x: Float80, limit: (sign: number) => bigint): bigint | undefined {
  const kind = kindOf(x);
  if (kind >= KIND.infinity || placeOf(x) > 0) return r.invalid(undefined);
  const before = r.flags;
  const integer = roundToInteger(exactOf(x), r).significand;
  if (integer > limit(x.sign)) {
    r.flags = before;
    r.roundedUp = false;
    return r.invalid(undefined);
  }
  return x.sign === 0 ? integer : -integer;
}

/** A value as a signed integer of `size` bytes: its bits; out of range it is the integer indefinite. */
export function toInteger(r: Rounding, x: Float80, size: number): bigint {
  const end = 1n << BigInt(size * 8 - 1);
  const value = toIntegerWithin(r, x, (sign) => (sign === 0 ? end - 1n : end));
  return BigInt.asUintN(size * 8, value ?? end);
}
