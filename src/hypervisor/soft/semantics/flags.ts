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
import { type I32, I64, type I64Like } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';

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
  return value.and(size === 1 ? 0xff : size === 2 ? 0xffff : 0xffff_ffff);
}

export class Flags {
  readonly #f: FunctionBuilder;
  readonly #cpu: I32;

  constructor(f: FunctionBuilder, cpu: I32) {
    this.#f = f;
    this.#cpu = cpu;
  }

  // -- writing; operands are zero-extended values in locals or constants (they are used more than once)

  /** After AND, OR, XOR, TEST: CF = OF = AF = 0. */
  logic(result: I64, size: Size): void {
    this.#store(signExtend(result, size), I64.const(0));
    this.#f.store32(this.#cpu, CPU.flagOther, 0);
  }

  /** After result = a + b (+ carry). */
  add(a: I64, b: I64, result: I64, size: Size): void {
    const carries = a.and(b).or(a.or(b).and(result.xor(-1)));
    this.#store(signExtend(result, size), carries.shl(64 - size * 8));
    this.#other(a, b, result);
  }

  /** After result = a - b (- borrow). */
  sub(a: I64, b: I64, result: I64, size: Size): void {
    const notA = a.xor(-1);
    const borrows = notA.and(b).or(notA.or(b).and(result));
    this.#store(signExtend(result, size), borrows.shl(64 - size * 8));
    this.#other(a, b, result);
  }

  /** Sets SF, ZF and PF by a result, and AF to 0; then carry() gives CF and OF. */
  result(result: I64, size: Size): void {
    this.#f.store64(this.#cpu, CPU.flagResult, signExtend(result, size));
    this.#f.store32(this.#cpu, CPU.flagOther, 0);
  }

  /** Sets CF and OF, each an I64 that is 0 or 1, and leaves the others. */
  carry(cf: I64, of: I64Like): void {
    const cfLocal = this.#f.let(cf);
    this.#f.store64(this.#cpu, CPU.flagCarry, cfLocal.shl(63).or(cfLocal.xor(I64.of(of)).shl(62)));
  }

  /** Sets OF (0 or 1) and AF by operands, and SF ZF PF by the result, keeping CF: INC and DEC. */
  keepCarry(of: I64, a: I64, b: I64, result: I64, size: Size): void {
    const old = this.#f.let(this.#f.load64(this.#cpu, CPU.flagCarry).shrU(63));
    this.#store(signExtend(result, size), old.shl(63).or(old.xor(of).shl(62)));
    this.#other(a, b, result);
  }

  /** All six at once from the bits of an RFLAGS image. */
  load(image: I32): void {
    const f = this.#f;
    const v = f.let(image);
    const zf = v.shrU(6).and(1);
    f.store64(this.#cpu, CPU.flagResult, zf.xor(1).shl(8).toI64());
    const cf = v.and(1).toI64();
    const of = v.shrU(11).and(1).toI64();
    f.store64(this.#cpu, CPU.flagCarry, cf.shl(63).or(cf.xor(of).shl(62)));
    const sf = v.shrU(7).and(1);
    const pf = v.shrU(2).and(1);
    f.store32(this.#cpu, CPU.flagOther, v.and(0x10).or(sf).or(pf.xor(1).shl(8)));
  }

  // -- reading: I32 that is 0 or 1

  cf(): I32 {
    return this.cf64().wrap();
  }

  cf64(): I64 {
    return this.#f.load64(this.#cpu, CPU.flagCarry).shrU(63);
  }

  zf(): I32 {
    return this.#result().eqz();
  }

  sf(): I32 {
    return this.#result().shrU(63).wrap().xor(this.#f.load32(this.#cpu, CPU.flagOther).and(1));
  }

  of(): I32 {
    const c = () => this.#f.load64(this.#cpu, CPU.flagCarry);
    return c().xor(c().shl(1)).shrU(63).wrap();
  }

  pf(): I32 {
    const corrected = this.#result().wrap().xor(this.#f.load32(this.#cpu, CPU.flagOther).shrU(8));
    return corrected.and(0xff).popcnt().and(1).xor(1);
  }

  af(): I32 {
    return this.#f.load32(this.#cpu, CPU.flagOther).shrU(4).and(1);
  }

  /** The six flags at their places in RFLAGS. */
  image(): I32 {
    return this.cf()
      .or(this.pf().shl(2))
      .or(this.#f.load32(this.#cpu, CPU.flagOther).and(0x10))
      .or(this.zf().shl(6))
      .or(this.sf().shl(7))
      .or(this.of().shl(11));
  }

  /** Whether condition code `cc` (0-15, Intel SDM vol. 2, B.1.4.7) holds. */
  condition(cc: number): I32 {
    const positive = this.#positive(cc >> 1);
    return (cc & 1) === 0 ? positive : positive.eqz();
  }

  #positive(pair: number): I32 {
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

  #result(): I64 {
    return this.#f.load64(this.#cpu, CPU.flagResult);
  }

  #store(result: I64, carry: I64): void {
    this.#f.store64(this.#cpu, CPU.flagResult, result);
    this.#f.store64(this.#cpu, CPU.flagCarry, carry);
  }

  #other(a: I64, b: I64, result: I64): void {
    this.#f.store32(this.#cpu, CPU.flagOther, a.xor(b).xor(result).wrap().and(0x10));
  }
}
