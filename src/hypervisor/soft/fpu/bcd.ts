/** Packed decimal integers: 18 digits, two to a byte, and a sign in the top bit (Intel SDM vol. 1, 4.7). */
import { toIntegerWithin } from './convert.ts';
import { exactly, type Float80, zero } from './float80.ts';
import type { Rounding } from './rounding.ts';

const DIGITS = 18;
const GREATEST = 10n ** BigInt(DIGITS) - 1n;

/** A packed decimal: bytes 0-7, and 8-9 with the sign in bit 15. */
export interface Packed {
  readonly low: bigint;
  readonly high: number;
}

/** The value of a packed decimal. Digits over 9 count as what they are, which is one of the things processors do. */
export function fromPacked(packed: Packed): Float80 {
  const bytes = (BigInt(packed.high & 0xff) << 64n) | packed.low;
  let value = 0n;
  for (let digit = DIGITS - 1; digit >= 0; digit--) value = value * 10n + ((bytes >> BigInt(4 * digit)) & 15n);
  const sign = (packed.high >> 15) & 1;
  return value === 0n ? zero(sign) : exactly(sign, value, 0);
}

/** A value rounded to a packed decimal; out of range it is the packed decimal indefinite. */
export function toPacked(r: Rounding, x: Float80): Packed {
  const value = toIntegerWithin(r, x, () => GREATEST);
  if (value === undefined) return { low: 0xc000_0000_0000_0000n, high: 0xffff };
  let rest = value < 0n ? -value : value;
  let bytes = 0n;
  for (let digit = 0n; rest !== 0n; digit++) {
    bytes |= (rest % 10n) << (4n * digit);
    rest /= 10n;
  }
  return { low: BigInt.asUintN(64, bytes), high: Number(bytes >> 64n) | (x.sign << 15) };
}
