/**
 * Float arithmetic of SSE on the bits of binary32 and binary64 numbers, with every mode and flag of MXCSR: Intel SDM vol.
 * 1, 11.5 and appendix E. Flags rise before the computation (invalid, denormal, divide by zero) or after it (overflow,
 * underflow, precision); an unmasked one of the first kind keeps those of the second from being reported.
 */
import {
  add,
  bias,
  compare,
  divide,
  Environment,
  EXCEPTION,
  type Exact,
  type Format,
  multiply,
  pack,
  round,
  roundToInteger,
  specialExponent,
  squareRoot,
  type Unpacked,
  unpack,
} from './ieee.ts';

const DENORMALS_ARE_ZERO = 1 << 6;
const MASK_SHIFT = 7;
const ROUNDING_SHIFT = 13;
const FLUSH_TO_ZERO = 1 << 15;

const ALL_FLAGS = 0x3f;

/** How two numbers relate. */
export type Relation = 'less' | 'equal' | 'greater' | 'unordered';

const quietBit = (format: Format): bigint => 1n << BigInt(format.significandBits - 2);

/** The NaN that invalid operations give: negative, quiet, without payload. */
export function defaultNan(format: Format): bigint {
  const exponentAndSign = (1n << BigInt(format.exponentBits + 1)) - 1n;
  return (exponentAndSign << BigInt(format.significandBits - 1)) | quietBit(format);
}

const special = (format: Format, sign: 0 | 1, exponent: number): bigint =>
  pack(format, { sign, exponent, significand: 0n });
const infinity = (format: Format, sign: 0 | 1): bigint => special(format, sign, specialExponent(format));
const zero = (format: Format, sign: 0 | 1): bigint => special(format, sign, 0);

export class SseArithmetic {
  readonly #env = new Environment();
  #mxcsr = 0;
  /** Flags that rose before the computation. */
  #before = 0;
  /** Flags of the steps of the instruction that are done. */
  #earlier = 0;

  /** Starts an instruction. */
  begin(mxcsr: number): void {
    this.#mxcsr = mxcsr;
    this.#earlier = 0;
    this.#before = 0;
    this.#env.flags = 0;
    this.#env.rounding = (mxcsr >> ROUNDING_SHIFT) & 3;
    this.#env.flushToZero = (mxcsr & FLUSH_TO_ZERO) !== 0;
    this.#env.overflowMasked = ((mxcsr >> MASK_SHIFT) & EXCEPTION.overflow) !== 0;
    this.#env.underflowMasked = ((mxcsr >> MASK_SHIFT) & EXCEPTION.underflow) !== 0;
  }

  /** Goes on to another computation with the results of the ones so far, whose flags stay. */
  nextStep(): void {
    this.#earlier = this.flags;
    this.#before = 0;
    this.#env.flags = 0;
  }

  /** MXCSR's rounding mode. */
  get rounding(): number {
    return (this.#mxcsr >> ROUNDING_SHIFT) & 3;
  }

  /** Whether an unmasked flag has risen so far. */
  get faults(): boolean {
    return (this.flags & this.#unmasked) !== 0;
  }

  /** The flags that the instruction adds to MXCSR. */
  get flags(): number {
    const hidden = (this.#before & this.#unmasked) !== 0;
    return this.#earlier | this.#before | (hidden ? 0 : this.#env.flags);
  }

  get #unmasked(): number {
    return ~(this.#mxcsr >> MASK_SHIFT) & ALL_FLAGS;
  }

  add(format: Format, aBits: bigint, bBits: bigint): bigint {
    const a = this.#operand(format, aBits);
    const b = this.#operand(format, bBits);
    const nan = this.#nan(format, a, aBits, b, bBits);
    if (nan !== undefined) return nan;
    if (a.kind === 'infinity' && b.kind === 'infinity' && a.sign !== b.sign) return this.#invalid(format);
    this.#denormals(a, b);
    if (a.kind === 'infinity') return aBits;
    if (b.kind === 'infinity') return bBits;
    return this.#round(format, add(a, b, this.#env.rounding));
  }

  subtract(format: Format, aBits: bigint, bBits: bigint): bigint {
    const b = unpack(format, bBits);
    const signBit = 1n << BigInt(format.exponentBits + format.significandBits - 1);
    return this.add(format, aBits, b.kind === 'nan' ? bBits : bBits ^ signBit);
  }

  multiply(format: Format, aBits: bigint, bBits: bigint): bigint {
    const a = this.#operand(format, aBits);
    const b = this.#operand(format, bBits);
    const nan = this.#nan(format, a, aBits, b, bBits);
    if (nan !== undefined) return nan;
    const hasInfinity = a.kind === 'infinity' || b.kind === 'infinity';
    const hasZero = a.kind === 'zero' || b.kind === 'zero';
    if (hasInfinity && hasZero) return this.#invalid(format);
    this.#denormals(a, b);
    const sign = a.sign === b.sign ? 0 : 1;
    return hasInfinity ? infinity(format, sign) : this.#round(format, { ...multiply(a, b), sign });
  }

  divide(format: Format, aBits: bigint, bBits: bigint): bigint {
    const a = this.#operand(format, aBits);
    const b = this.#operand(format, bBits);
    const nan = this.#nan(format, a, aBits, b, bBits);
    if (nan !== undefined) return nan;
    if (a.kind === b.kind && (a.kind === 'zero' || a.kind === 'infinity')) return this.#invalid(format);
    const sign = a.sign === b.sign ? 0 : 1;
    if (b.kind === 'zero' && a.kind === 'finite') {
      this.#before |= EXCEPTION.divideByZero;
      return infinity(format, sign);
    }
    this.#denormals(a, b);
    if (a.kind === 'infinity' || b.kind === 'zero') return infinity(format, sign);
    if (a.kind === 'zero' || b.kind === 'infinity') return zero(format, sign);
    return this.#round(format, divide(a, b, format.significandBits));
  }

  squareRoot(format: Format, bits: bigint): bigint {
    const a = this.#operand(format, bits);
    const nan = this.#nan(format, a, bits, a, bits);
    if (nan !== undefined) return nan;
    if (a.kind === 'zero') return zero(format, a.sign);
    if (a.sign === 1) return this.#invalid(format);
    this.#denormals(a);
    return a.kind === 'infinity' ? bits : this.#round(format, squareRoot(a, format.significandBits));
  }

  /** The smaller or larger operand; b if they are equal or one is a NaN. */
  extremum(format: Format, aBits: bigint, bBits: bigint, larger: boolean): bigint {
    const relation = this.compare(format, aBits, bBits, true);
    const takeA = relation === (larger ? 'greater' : 'less');
    const bits = takeA ? aBits : bBits;
    const taken = this.#operand(format, bits);
    return taken.kind === 'zero' ? zero(format, taken.sign) : bits;
  }

  /** @param quietIsInvalid whether a quiet NaN is an invalid operand too (a signaling one always is) */
  compare(format: Format, aBits: bigint, bBits: bigint, quietIsInvalid: boolean): Relation {
    const a = this.#operand(format, aBits);
    const b = this.#operand(format, bBits);
    if (this.#nan(format, a, aBits, b, bBits) !== undefined) {
      if (quietIsInvalid) this.#before |= EXCEPTION.invalid;
      return 'unordered';
    }
    this.#denormals(a, b);
    const order = a.kind === 'infinity' || b.kind === 'infinity' ? infinityOrder(a, b) : compare(a, b);
    return order < 0 ? 'less' : order > 0 ? 'greater' : 'equal';
  }

  /** From one format to another. */
  convert(from: Format, to: Format, bits: bigint): bigint {
    const a = this.#operand(from, bits);
    const nan = this.#nan(from, a, bits, a, bits);
    if (nan !== undefined) return convertNan(from, to, a);
    this.#denormals(a);
    return a.kind === 'infinity' ? infinity(to, a.sign) : this.#round(to, a);
  }

  /** From a signed integer. */
  fromInteger(format: Format, value: bigint): bigint {
    return this.#round(format, { sign: value < 0n ? 1 : 0, significand: value < 0n ? -value : value, exponent: 0 });
  }

  /** To a signed integer of so many bits, as unsigned bits; the "integer indefinite" if it does not fit. */
  toInteger(format: Format, bits: bigint, width: number, rounding: number): bigint {
    const a = this.#operand(format, bits);
    const indefinite = 1n << BigInt(width - 1);
    const env = Object.assign(new Environment(), { rounding });
    // Far larger than any integer is enough to know that it does not fit.
    const rounded = a.kind === 'finite' || a.kind === 'zero' ? roundToInteger(a, env) : undefined;
    const magnitude = rounded === undefined ? undefined : rounded.significand << BigInt(rounded.exponent);
    if (magnitude === undefined || magnitude > indefinite || (magnitude === indefinite && a.sign === 0)) {
      this.#before |= EXCEPTION.invalid;
      return indefinite;
    }
    this.#env.flags |= env.flags;
    return BigInt.asUintN(width, a.sign === 1 ? -magnitude : magnitude);
  }

  /** To an integer in the same format. */
  roundToInteger(format: Format, bits: bigint, rounding: number, flagPrecision: boolean): bigint {
    const a = this.#operand(format, bits);
    const nan = this.#nan(format, a, bits, a, bits);
    if (nan !== undefined) return nan;
    if (a.kind === 'infinity') return bits;
    const env = Object.assign(new Environment(), { rounding });
    const rounded = roundToInteger(a, env);
    if (flagPrecision) this.#env.flags |= env.flags;
    return rounded.significand === 0n ? zero(format, a.sign) : pack(format, round(format, rounded, env));
  }

  #operand(format: Format, bits: bigint): Unpacked {
    const a = unpack(format, bits);
    if (!a.denormal || (this.#mxcsr & DENORMALS_ARE_ZERO) === 0) return a;
    return { ...a, kind: 'zero', significand: 0n, denormal: false };
  }

  /** The result if an operand is a NaN: the first that is one, made quiet. */
  #nan(format: Format, a: Unpacked, aBits: bigint, b: Unpacked, bBits: bigint): bigint | undefined {
    if (a.kind !== 'nan' && b.kind !== 'nan') return undefined;
    const quiet = quietBit(format);
    for (const x of [a, b]) {
      if (x.kind === 'nan' && (x.significand & quiet) === 0n) this.#before |= EXCEPTION.invalid;
    }
    return (a.kind === 'nan' ? aBits : bBits) | quiet;
  }

  #invalid(format: Format): bigint {
    this.#before |= EXCEPTION.invalid;
    return defaultNan(format);
  }

  #denormals(...operands: readonly Unpacked[]): void {
    if (operands.some((a) => a.denormal)) this.#before |= EXCEPTION.denormal;
  }

  #round(format: Format, value: Exact): bigint {
    return pack(format, round(format, value, this.#env));
  }
}

function infinityOrder(a: Unpacked, b: Unpacked): number {
  const rank = (x: Unpacked) => (x.kind !== 'infinity' ? 0 : x.sign === 0 ? 1 : -1);
  return rank(a) - rank(b);
}

/** A NaN keeps its sign and the upper bits of its payload, and becomes quiet. */
function convertNan(from: Format, to: Format, a: Unpacked): bigint {
  const shift = to.significandBits - from.significandBits;
  const payload = shift >= 0 ? a.significand << BigInt(shift) : a.significand >> BigInt(-shift);
  const exponent = 2 * bias(to) + 1;
  return pack(to, { sign: a.sign, exponent, significand: payload | quietBit(to) });
}

/** 1/x as RCPPS approximates it, here to the last bit; no flags, denormals are zero. */
export function reciprocal(bits: number): number {
  const x = floatOf(bits);
  if (Number.isNaN(x)) return (bits | 0x0040_0000) >>> 0;
  return flushed(1 / flush(x));
}

/** 1/sqrt(x) as RSQRTPS approximates it, here to the last bit; no flags, denormals are zero. */
export function reciprocalRoot(bits: number): number {
  const x = floatOf(bits);
  if (Number.isNaN(x)) return (bits | 0x0040_0000) >>> 0;
  const operand = flush(x);
  if (operand < 0) return 0xffc0_0000;
  return flushed(operand === 0 ? 1 / operand : 1 / Math.sqrt(operand));
}

const SMALLEST_NORMAL = 2 ** -126;
const flush = (x: number): number => (Math.abs(x) < SMALLEST_NORMAL ? x * 0 : x);

const scratch = new DataView(new ArrayBuffer(4));

function floatOf(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

function flushed(x: number): number {
  scratch.setFloat32(0, flush(x));
  return scratch.getUint32(0);
}
