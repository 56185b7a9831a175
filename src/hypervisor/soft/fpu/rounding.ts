/** Rounding of exact results to a format, with the exceptions that come of it (Intel SDM vol. 1, 4.8.4, 4.9.1 and 8.5). */
import { BIAS, bitLength, EXPONENT_MAX, Float80, INTEGER_BIT, infinity, zero } from './float80.ts';

/** Exceptions, at their places in the status and control words; `stack` is a kind of `invalid`. */
export const EXCEPTION = {
  invalid: 1,
  denormal: 2,
  zeroDivide: 4,
  overflow: 8,
  underflow: 16,
  precision: 32,
  stack: 64,
} as const;

/** Rounding control (bits 10-11 of the control word). */
export const ROUND = { nearest: 0, down: 1, up: 2, toZero: 3 } as const;

/** A format: bits of significand, and the least and greatest exponents of its normal numbers. */
export interface Format {
  readonly precision: number;
  readonly minExponent: number;
  readonly maxExponent: number;
}

export const SINGLE: Format = { precision: 24, minExponent: -126, maxExponent: 127 };
export const DOUBLE: Format = { precision: 53, minExponent: -1022, maxExponent: 1023 };
export const EXTENDED: Format = { precision: 64, minExponent: 1 - BIAS, maxExponent: BIAS };

/** What precision control (bits 8-9) makes of results in registers: less precision, the same range. 1 is reserved. */
const REGISTER_FORMATS: readonly Format[] = [
  { ...EXTENDED, precision: SINGLE.precision },
  EXTENDED,
  { ...EXTENDED, precision: DOUBLE.precision },
  EXTENDED,
];

/** An unmasked overflow or underflow moves the exponent of a result in a register by this, to bring it into range. */
const EXPONENT_WRAP = 24576;

/** How the instruction that is being executed rounds, and the exceptions that it met. */
export class Rounding {
  /** One of ROUND. */
  mode: number = ROUND.nearest;
  /** Of results that precision control applies to. */
  format = EXTENDED;
  /** Masked exceptions. */
  masks = 0x3f;
  /** Exceptions met, masked or not. */
  raised = 0;
  /** Whether the last rounding increased the magnitude, which C1 tells. */
  up = false;
  /** Whether the memory operand was denormal in its own format: in 80 bits it no longer is. */
  denormalSource = false;

  /** Starts an instruction under a control word. */
  begin(control: number): void {
    this.masks = control & 0x3f;
    this.format = REGISTER_FORMATS[(control >> 8) & 3]!;
    this.mode = (control >> 10) & 3;
    this.raised = 0;
    this.up = false;
    this.denormalSource = false;
  }

  raise(exceptions: number): void {
    this.raised |= exceptions;
  }

  /** The answer to an invalid operation. */
  invalid<T>(answer: T): T {
    this.raised |= EXCEPTION.invalid;
    return answer;
  }

  /** Whether an unmasked exception keeps registers and memory as they were. */
  get refused(): boolean {
    const before = EXCEPTION.invalid | EXCEPTION.denormal | EXCEPTION.zeroDivide;
    return (this.raised & ~this.masks & before) !== 0;
  }

  /** The same for a result that goes to memory: there an overflow or underflow that is not masked stores nothing. */
  get storeRefused(): boolean {
    return (this.raised & ~this.masks & ~(EXCEPTION.precision | EXCEPTION.stack)) !== 0;
  }

  isMasked(exception: number): boolean {
    return (this.masks & exception) !== 0;
  }
}

/** A rounded magnitude: significand * 2^place, or infinity. */
export interface Rounded {
  readonly significand: bigint;
  readonly place: number;
  readonly infinite: boolean;
}

/**
 * Rounds magnitude * 2^place to a multiple of 2^target and returns the multiple. Sets `up` and nothing else.
 * `magnitude` may carry a last bit that stands for everything below ("jammed"), if it is at least 2 places below target.
 */
export function roundAt(r: Rounding, sign: number, magnitude: bigint, place: number, target: number): bigint {
  r.up = false;
  const drop = target - place;
  if (drop <= 0) return magnitude << BigInt(-drop);
  const width = BigInt(drop);
  const kept = magnitude >> width;
  const rest = magnitude - (kept << width);
  if (rest === 0n) return kept;
  if (r.mode === ROUND.nearest) {
    const half = 1n << (width - 1n);
    r.up = rest > half || (rest === half && (kept & 1n) !== 0n);
  } else {
    r.up = r.mode === (sign === 0 ? ROUND.up : ROUND.down);
  }
  return r.up ? kept + 1n : kept;
}

function isInexact(magnitude: bigint, place: number, kept: bigint, keptPlace: number): boolean {
  const drop = keptPlace - place;
  return drop > 0 && kept << BigInt(drop) !== magnitude;
}

/**
 * Rounds a magnitude that is not zero to a format and raises overflow, underflow and precision. With an unmasked
 * overflow or underflow the exponent is wrapped.
 */
export function roundTo(r: Rounding, sign: number, magnitude: bigint, place: number, format: Format): Rounded {
  const precision = format.precision;
  let target = place + bitLength(magnitude) - precision;
  let kept = roundAt(r, sign, magnitude, place, target);
  const inexact = isInexact(magnitude, place, kept, target);
  if (kept >> BigInt(precision) !== 0n) {
    kept >>= 1n;
    target++;
  }
  const exponent = target + precision - 1;
  if (exponent > format.maxExponent) return overflow(r, sign, kept, target, inexact, format);
  if (exponent >= format.minExponent) {
    if (inexact) r.raise(EXCEPTION.precision);
    return { significand: kept, place: target, infinite: false };
  }
  if (!r.isMasked(EXCEPTION.underflow)) {
    r.raise(EXCEPTION.underflow | (inexact ? EXCEPTION.precision : 0));
    return { significand: kept, place: target + EXPONENT_WRAP, infinite: false };
  }
  target = format.minExponent - precision + 1;
  kept = roundAt(r, sign, magnitude, place, target);
  // Masked underflow is reported only where it lost something.
  if (isInexact(magnitude, place, kept, target)) r.raise(EXCEPTION.underflow | EXCEPTION.precision);
  return { significand: kept, place: target, infinite: false };
}

function overflow(r: Rounding, sign: number, kept: bigint, place: number, inexact: boolean, format: Format): Rounded {
  r.raise(EXCEPTION.overflow);
  if (!r.isMasked(EXCEPTION.overflow)) {
    if (inexact) r.raise(EXCEPTION.precision);
    return { significand: kept, place: place - EXPONENT_WRAP, infinite: false };
  }
  r.raise(EXCEPTION.precision);
  r.up = r.mode === ROUND.nearest || r.mode === (sign === 0 ? ROUND.up : ROUND.down);
  const greatest = (1n << BigInt(format.precision)) - 1n;
  return { significand: greatest, place: format.maxExponent - format.precision + 1, infinite: r.up };
}

/** Rounds (-1)^sign * magnitude * 2^place to a register, by default under precision control. The magnitude may be 0. */
export function toRegister(
  r: Rounding,
  sign: number,
  magnitude: bigint,
  place: number,
  format: Format = r.format,
): Float80 {
  if (magnitude === 0n) return zero(sign);
  const rounded = roundTo(r, sign, magnitude, place, format);
  if (rounded.infinite) return infinity(sign);
  const { significand } = rounded;
  if (significand === 0n) return zero(sign);
  const shift = 64 - bitLength(significand);
  const exponent = rounded.place - shift + BIAS + 63;
  if (exponent > 0) {
    if (exponent < EXPONENT_MAX) return new Float80(sign, exponent, significand << BigInt(shift));
    // FSCALE can overflow so far that the wrapped exponent is still too great.
    r.raise(EXCEPTION.precision);
    r.up = true;
    return infinity(sign);
  }
  if (rounded.place < format.minExponent - 63) {
    // Likewise, an underflow so far that the wrapped exponent is still too small.
    r.raise(EXCEPTION.precision);
    r.up = false;
    return zero(sign);
  }
  const denormal = significand << BigInt(rounded.place + BIAS + 62);
  return denormal >= INTEGER_BIT ? new Float80(sign, 1, denormal) : new Float80(sign, 0, denormal);
}
