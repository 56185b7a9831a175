/**
 * The six arithmetic flags, kept as the numbers they follow from and computed only when somebody asks:
 *
 * - flagResult: the result, sign-extended to 64 bits. ZF: it is zero. SF: its sign. PF: the parity of its low byte.
 * - flagCarry: the carry out of every bit position, shifted so that the operand's top bit is bit 63. CF: bit 63.
 *   OF: bit 63 differs from bit 62.
 * - flagOther: AF in bit 4. Corrections for states that no result has (POPF can ask for ZF and SF at once): bit 0
 *   inverts SF, bits 8-15 are xored into the byte that PF looks at.
 *
 * No branch and no table is needed to write or to read any of it.
 */

import { CPU } from '../state.ts';
import { I32, I64, type I64Like } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';
import { low32, significantBits } from '../wasm/narrow.ts';

export type Size = 1 | 2 | 4 | 8;

/** Sign-extended from `size` bytes to 64 bits. */
export function signExtend(value: I64, size: Size): I64 {
  if (size === 1) return value.extend8S();
  if (size === 2) return value.extend16S();
  return size === 4 ? value.extend32S() : value;
}

/** The low `size` bytes, zero-extended. */
export function zeroExtend(value: I64, size: Size): I64 {
  if (size === 8) return value;
  if (size === 4) return low32(value);
  return significantBits(value) <= size * 8 ? value : value.and(size === 1 ? 0xff : 0xffff);
}

/** Where the three numbers are kept. */
export interface FlagWords {
  readonly result: I64;
  readonly carry: I64;
  readonly other: I32;
}

/** The numbers that follow from an operation's operands; these are used more than once, so locals or constants. */
export const flagWords = {
  /** After AND, OR, XOR, TEST: CF = OF = AF = 0. */
  logic: (result: I64, size: Size): FlagWords => ({
    result: signExtend(result, size),
    carry: I64.const(0),
    other: I32.const(0),
  }),

  /** After result = a + b (+ carry). */
  add: (a: I64, b: I64, result: I64, size: Size): FlagWords => ({
    result: signExtend(result, size),
    carry: a
      .and(b)
      .or(a.or(b).and(result.xor(-1)))
      .shl(64 - size * 8),
    other: auxiliary(a, b, result),
  }),

  /** After result = a - b (- borrow). */
  sub: (a: I64, b: I64, result: I64, size: Size): FlagWords => ({
    result: signExtend(result, size),
    carry: a
      .xor(-1)
      .and(b)
      .or(a.xor(-1).or(b).and(result))
      .shl(64 - size * 8),
    other: auxiliary(a, b, result),
  }),

  /** After result = a + 1, with CF (0 or 1) as it was. */
  inc: (result: I64, cf: I64, size: Size): FlagWords => {
    const overflow = result.eq(I64.const(1n << BigInt(size * 8 - 1))).toI64();
    const other = result.wrap().and(15).eqz().shl(4);
    return { result: signExtend(result, size), carry: carryWord(cf, overflow), other };
  },

  /** After result = a - 1, with CF as it was. */
  dec: (result: I64, cf: I64, size: Size): FlagWords => {
    const overflow = result.eq(I64.const((1n << BigInt(size * 8 - 1)) - 1n)).toI64();
    const other = result.wrap().and(15).eq(15).shl(4);
    return { result: signExtend(result, size), carry: carryWord(cf, overflow), other };
  },

  /** SF, ZF and PF by a result, AF 0; CF and OF as given, each 0 or 1. */
  shifted: (result: I64, size: Size, cf: I64, of: I64): FlagWords => ({
    ...flagWords.logic(result, size),
    carry: carryWord(cf, of),
  }),

  /** After result = a << count, which is not 0. */
  shl: (a: I64, count: I64, result: I64, size: Size): FlagWords => {
    const bits = size * 8;
    // The last bit out is bit (bits - count) of a; beyond the operand's width (8 and 16 bits) it is 0.
    const out = size === 8 ? a.shrU(I64.const(64).sub(count)) : a.shl(count).shrU(bits);
    const cf = out.and(1);
    return flagWords.shifted(result, size, cf, topBit(result, size).xor(cf));
  },

  /** After result = a >> count, which is not 0. */
  shr: (a: I64, count: I64, result: I64, size: Size): FlagWords =>
    flagWords.shifted(result, size, a.shrU(count.sub(1)).and(1), topBit(a, size)),

  /** The same with the sign. */
  sar: (a: I64, count: I64, result: I64, size: Size): FlagWords =>
    flagWords.shifted(result, size, signExtend(a, size).shrS(count.sub(1)).and(1), I64.const(0)),

  /** After COMISD of two numbers, whose bits these are: ZF, PF and CF, without those that their order clears. */
  floats: (a: I64, b: I64): FlagWords => {
    const [x, y] = [a.asF64(), b.asF64()];
    const carry = x.ge(y).eqz().toI64();
    return {
      result: x.lt(y).or(y.lt(x)).toI64().shl(8),
      carry: carryWord(carry, I64.const(0)),
      other: x.eq(x).and(y.eq(y)).shl(8),
    };
  },

  /** The six flags of an RFLAGS image. */
  image: (image: I32): FlagWords => {
    const cf = image.and(1).toI64();
    const sf = image.shrU(7).and(1);
    const pf = image.shrU(2).and(1);
    return {
      result: image.shrU(6).and(1).xor(1).shl(8).toI64(),
      carry: carryWord(cf, image.shrU(11).and(1).toI64()),
      other: image.and(0x10).or(sf).or(pf.xor(1).shl(8)),
    };
  },
};

/** The highest bit of a zero-extended value. */
export function topBit(value: I64, size: Size): I64 {
  return value.shrU(size * 8 - 1).and(1);
}

/** flagCarry for CF and OF, each 0 or 1. */
function carryWord(cf: I64, of: I64): I64 {
  return cf.shl(63).or(cf.xor(of).shl(62));
}

/** AF in bit 4. */
function auxiliary(a: I64, b: I64, result: I64): I32 {
  return a.xor(b).xor(result).wrap().and(0x10);
}

/**
 * Flags in the vCPU's block. Operations write them, conditions read them; a compiler keeps them elsewhere and overrides
 * both (jit/jit-flags.ts).
 */
export class Flags {
  protected readonly f: FunctionBuilder;
  protected readonly cpu: I32;

  constructor(f: FunctionBuilder, cpu: I32) {
    this.f = f;
    this.cpu = cpu;
  }

  // -- writing; operands are zero-extended values in locals or constants (they are used more than once)

  /** After AND, OR, XOR, TEST. */
  logic(result: I64, size: Size): void {
    this.put(flagWords.logic(result, size));
  }

  /** After result = a + b. */
  add(a: I64, b: I64, result: I64, size: Size): void {
    this.put(flagWords.add(a, b, result, size));
  }

  /** After result = a + b + CF. */
  adc(a: I64, b: I64, result: I64, size: Size): void {
    this.put(flagWords.add(a, b, result, size));
  }

  /** After result = a - b. */
  sub(a: I64, b: I64, result: I64, size: Size): void {
    this.put(flagWords.sub(a, b, result, size));
  }

  /** After result = a - b - CF. */
  sbb(a: I64, b: I64, result: I64, size: Size): void {
    this.put(flagWords.sub(a, b, result, size));
  }

  /** After result = a + 1, which leaves CF. */
  inc(result: I64, size: Size): void {
    this.put(flagWords.inc(result, this.f.let(this.cf64()), size));
  }

  /** After result = a - 1, which leaves CF. */
  dec(result: I64, size: Size): void {
    this.put(flagWords.dec(result, this.f.let(this.cf64()), size));
  }

  /** SF, ZF and PF by a result, AF 0; CF and OF as given, each an I64 that is 0 or 1. */
  shifted(result: I64, size: Size, cf: I64, of: I64Like): void {
    this.put(flagWords.shifted(result, size, this.f.let(cf), I64.of(of)));
  }

  /** After result = a << count; the count is not 0. */
  shl(a: I64, count: I64, result: I64, size: Size): void {
    this.put(flagWords.shl(a, count, result, size));
  }

  /** After result = a >> count, zero-extended. */
  shr(a: I64, count: I64, result: I64, size: Size): void {
    this.put(flagWords.shr(a, count, result, size));
  }

  /** After result = a >> count, sign-extended. */
  sar(a: I64, count: I64, result: I64, size: Size): void {
    this.put(flagWords.sar(a, count, result, size));
  }

  /** Sets CF and, if it does not stay, OF, each an I64 that is 0 or 1, and leaves the others. */
  carry(cf: I64, of?: I64Like): void {
    const overflow = this.f.let(of === undefined ? this.of().toI64() : I64.of(of));
    this.f.store64(this.cpu, CPU.flagCarry, carryWord(this.f.let(cf), overflow));
  }

  /** All six at once from the bits of an RFLAGS image. */
  load(image: I32): void {
    this.put(flagWords.image(this.f.let(image)));
  }

  /** After COMISD of two numbers, whose bits these are, in locals. */
  floats(a: I64, b: I64): void {
    this.put(flagWords.floats(a, b));
  }

  // -- reading: I32 that is 0 or 1

  cf(): I32 {
    return this.cf64().wrap();
  }

  cf64(): I64 {
    return this.words.carry.shrU(63);
  }

  zf(): I32 {
    return this.words.result.eqz();
  }

  sf(): I32 {
    const { result, other } = this.words;
    return result.shrU(63).wrap().xor(other.and(1));
  }

  of(): I32 {
    const { carry } = this.words;
    return carry.xor(carry.shl(1)).shrU(63).wrap();
  }

  pf(): I32 {
    const { result, other } = this.words;
    return result.wrap().xor(other.shrU(8)).and(0xff).popcnt().and(1).xor(1);
  }

  af(): I32 {
    return this.words.other.shrU(4).and(1);
  }

  /** The six flags at their places in RFLAGS. */
  image(): I32 {
    return this.cf()
      .or(this.pf().shl(2))
      .or(this.af().shl(4))
      .or(this.zf().shl(6))
      .or(this.sf().shl(7))
      .or(this.of().shl(11));
  }

  /** Whether condition code `cc` (0-15, Intel SDM vol. 2, B.1.4.7) holds. */
  condition(cc: number): I32 {
    const positive = this.positive(cc >> 1);
    return (cc & 1) === 0 ? positive : positive.eqz();
  }

  /** The condition codes without the negated ones: O, B, Z, BE, S, P, L, LE. */
  protected positive(pair: number): I32 {
    switch (pair) {
      case 0:
        return this.of();
      case 1:
        return this.cf();
      case 2:
        return this.zf();
      case 3:
        return this.cf().or(this.zf());
      case 4:
        return this.sf();
      case 5:
        return this.pf();
      case 6:
        return this.sf().ne(this.of());
      default:
        return this.sf().ne(this.of()).or(this.zf());
    }
  }

  /** The numbers as they stand in the vCPU's block. */
  protected get words(): FlagWords {
    const { f, cpu } = this;
    return {
      result: f.load64(cpu, CPU.flagResult),
      carry: f.load64(cpu, CPU.flagCarry),
      other: f.load32(cpu, CPU.flagOther),
    };
  }

  protected put({ result, carry, other }: FlagWords): void {
    const { f, cpu } = this;
    f.store64(cpu, CPU.flagResult, result);
    f.store64(cpu, CPU.flagCarry, carry);
    f.store32(cpu, CPU.flagOther, other);
  }
}
