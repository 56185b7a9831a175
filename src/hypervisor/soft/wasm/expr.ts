/**
 * Typed WebAssembly expressions. An expression is a tree: operands first, then one instruction. Using the same node at
 * two places emits (and so evaluates) it twice: give a value that is needed twice a local with `FunctionBuilder.let`.
 *
 *     f.store64(cpu, REG.rax, f.load64(cpu, REG.rax).add(1))
 */
import { signedLeb, unsignedLeb, type Writer } from './writer.ts';

export const VALTYPE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type ValType = keyof typeof VALTYPE;

export abstract class Expr {
  abstract readonly type: ValType;
  readonly args: readonly Expr[];
  readonly code: readonly number[];

  constructor(code: readonly number[], args: readonly Expr[] = []) {
    this.code = code;
    this.args = args;
  }

  emit(w: Writer): void {
    for (const arg of this.args) arg.emit(w);
    w.bytes(this.code);
  }
}

export type I32Like = I32 | number;
export type I64Like = I64 | number | bigint;

/** Constants from 0 to this are made once. */
const SMALL = 4096;

/** A constant from `small`, or a new one. */
function kept<E extends Expr>(small: (E | undefined)[], value: number, make: (value: number) => E): E {
  if (value < 0 || value > SMALL) return make(value);
  small[value] ??= make(value);
  return small[value];
}

export class I32 extends Expr {
  static readonly #small: (I32 | undefined)[] = [];
  override readonly type = 'i32';

  static const(value: number): I32 {
    return kept(I32.#small, value | 0, (v) => new I32([0x41, ...signedLeb(v)]));
  }

  static of(value: I32Like): I32 {
    return typeof value === 'number' ? I32.const(value) : value;
  }

  eqz(): I32 {
    return new I32([0x45], [this]);
  }
  eq(b: I32Like): I32 {
    return this.#with(0x46, b);
  }
  ne(b: I32Like): I32 {
    return this.#with(0x47, b);
  }
  ltS(b: I32Like): I32 {
    return this.#with(0x48, b);
  }
  ltU(b: I32Like): I32 {
    return this.#with(0x49, b);
  }
  gtS(b: I32Like): I32 {
    return this.#with(0x4a, b);
  }
  gtU(b: I32Like): I32 {
    return this.#with(0x4b, b);
  }
  leU(b: I32Like): I32 {
    return this.#with(0x4d, b);
  }
  geS(b: I32Like): I32 {
    return this.#with(0x4e, b);
  }
  geU(b: I32Like): I32 {
    return this.#with(0x4f, b);
  }
  clz(): I32 {
    return new I32([0x67], [this]);
  }
  ctz(): I32 {
    return new I32([0x68], [this]);
  }
  popcnt(): I32 {
    return new I32([0x69], [this]);
  }
  add(b: I32Like): I32 {
    return b === 0 ? this : this.#with(0x6a, b);
  }
  sub(b: I32Like): I32 {
    return this.#with(0x6b, b);
  }
  mul(b: I32Like): I32 {
    return this.#with(0x6c, b);
  }
  divS(b: I32Like): I32 {
    return this.#with(0x6d, b);
  }
  divU(b: I32Like): I32 {
    return this.#with(0x6e, b);
  }
  remS(b: I32Like): I32 {
    return this.#with(0x6f, b);
  }
  remU(b: I32Like): I32 {
    return this.#with(0x70, b);
  }
  and(b: I32Like): I32 {
    return this.#with(0x71, b);
  }
  or(b: I32Like): I32 {
    return this.#with(0x72, b);
  }
  xor(b: I32Like): I32 {
    return this.#with(0x73, b);
  }
  shl(b: I32Like): I32 {
    return this.#with(0x74, b);
  }
  shrS(b: I32Like): I32 {
    return this.#with(0x75, b);
  }
  shrU(b: I32Like): I32 {
    return this.#with(0x76, b);
  }
  rotl(b: I32Like): I32 {
    return this.#with(0x77, b);
  }
  rotr(b: I32Like): I32 {
    return this.#with(0x78, b);
  }
  extend8S(): I32 {
    return new I32([0xc0], [this]);
  }
  extend16S(): I32 {
    return new I32([0xc1], [this]);
  }
  /** Zero-extended to 64 bits. */
  toI64(): I64 {
    return new I64([0xad], [this]);
  }
  toF32S(): F32 {
    return new F32([0xb2], [this]);
  }
  toF64S(): F64 {
    return new F64([0xb7], [this]);
  }

  #with(opcode: number, b: I32Like): I32 {
    return new I32([opcode], [this, I32.of(b)]);
  }
}

export class I64 extends Expr {
  static readonly #small: (I64 | undefined)[] = [];
  override readonly type = 'i64';

  static const(value: number | bigint): I64 {
    if (typeof value === 'number') return kept(I64.#small, value, (v) => new I64([0x42, ...signedLeb(v)]));
    return new I64([0x42, ...signedLeb(value)]);
  }

  static of(value: I64Like): I64 {
    return value instanceof I64 ? value : I64.const(value);
  }

  eqz(): I32 {
    return new I32([0x50], [this]);
  }
  eq(b: I64Like): I32 {
    return this.#compare(0x51, b);
  }
  ne(b: I64Like): I32 {
    return this.#compare(0x52, b);
  }
  ltS(b: I64Like): I32 {
    return this.#compare(0x53, b);
  }
  ltU(b: I64Like): I32 {
    return this.#compare(0x54, b);
  }
  gtS(b: I64Like): I32 {
    return this.#compare(0x55, b);
  }
  gtU(b: I64Like): I32 {
    return this.#compare(0x56, b);
  }
  leS(b: I64Like): I32 {
    return this.#compare(0x57, b);
  }
  leU(b: I64Like): I32 {
    return this.#compare(0x58, b);
  }
  geS(b: I64Like): I32 {
    return this.#compare(0x59, b);
  }
  geU(b: I64Like): I32 {
    return this.#compare(0x5a, b);
  }
  clz(): I64 {
    return new I64([0x79], [this]);
  }
  ctz(): I64 {
    return new I64([0x7a], [this]);
  }
  popcnt(): I64 {
    return new I64([0x7b], [this]);
  }
  add(b: I64Like): I64 {
    return b === 0 ? this : this.#with(0x7c, b);
  }
  sub(b: I64Like): I64 {
    return this.#with(0x7d, b);
  }
  mul(b: I64Like): I64 {
    return this.#with(0x7e, b);
  }
  divS(b: I64Like): I64 {
    return this.#with(0x7f, b);
  }
  divU(b: I64Like): I64 {
    return this.#with(0x80, b);
  }
  remS(b: I64Like): I64 {
    return this.#with(0x81, b);
  }
  remU(b: I64Like): I64 {
    return this.#with(0x82, b);
  }
  and(b: I64Like): I64 {
    return this.#with(0x83, b);
  }
  or(b: I64Like): I64 {
    return this.#with(0x84, b);
  }
  xor(b: I64Like): I64 {
    return this.#with(0x85, b);
  }
  shl(b: I64Like): I64 {
    return b === 0 ? this : this.#with(0x86, b);
  }
  shrS(b: I64Like): I64 {
    return b === 0 ? this : this.#with(0x87, b);
  }
  shrU(b: I64Like): I64 {
    return b === 0 ? this : this.#with(0x88, b);
  }
  rotl(b: I64Like): I64 {
    return this.#with(0x89, b);
  }
  rotr(b: I64Like): I64 {
    return this.#with(0x8a, b);
  }
  extend8S(): I64 {
    return new I64([0xc2], [this]);
  }
  extend16S(): I64 {
    return new I64([0xc3], [this]);
  }
  extend32S(): I64 {
    return new I64([0xc4], [this]);
  }
  /** The low 32 bits. */
  wrap(): I32 {
    return new I32([0xa7], [this]);
  }
  toF32S(): F32 {
    return new F32([0xb4], [this]);
  }
  toF64S(): F64 {
    return new F64([0xb9], [this]);
  }
  /** The number that these are the bits of. */
  asF64(): F64 {
    return new F64([0xbf], [this]);
  }

  #with(opcode: number, b: I64Like): I64 {
    return new I64([opcode], [this, I64.of(b)]);
  }

  #compare(opcode: number, b: I64Like): I32 {
    return new I32([opcode], [this, I64.of(b)]);
  }
}

export class F32 extends Expr {
  override readonly type = 'f32';

  static const(value: number): F32 {
    return new F32([0x43, ...new Uint8Array(Float32Array.of(value).buffer)]);
  }

  eq(b: F32): I32 {
    return new I32([0x5b], [this, b]);
  }
  ne(b: F32): I32 {
    return new I32([0x5c], [this, b]);
  }
  lt(b: F32): I32 {
    return new I32([0x5d], [this, b]);
  }
  le(b: F32): I32 {
    return new I32([0x5f], [this, b]);
  }
  ge(b: F32): I32 {
    return new I32([0x60], [this, b]);
  }
  abs(): F32 {
    return new F32([0x8b], [this]);
  }
  nearest(): F32 {
    return new F32([0x90], [this]);
  }
  sqrt(): F32 {
    return new F32([0x91], [this]);
  }
  add(b: F32): F32 {
    return new F32([0x92], [this, b]);
  }
  sub(b: F32): F32 {
    return new F32([0x93], [this, b]);
  }
  mul(b: F32): F32 {
    return new F32([0x94], [this, b]);
  }
  div(b: F32): F32 {
    return new F32([0x95], [this, b]);
  }
  bits(): I32 {
    return new I32([0xbc], [this]);
  }
  toF64(): F64 {
    return new F64([0xbb], [this]);
  }
  /** Truncated, saturating at the ends. */
  toI32Sat(): I32 {
    return new I32([0xfc, 0], [this]);
  }
  toI64Sat(): I64 {
    return new I64([0xfc, 4], [this]);
  }
}

export class F64 extends Expr {
  override readonly type = 'f64';

  static const(value: number): F64 {
    return new F64([0x44, ...new Uint8Array(Float64Array.of(value).buffer)]);
  }

  eq(b: F64): I32 {
    return new I32([0x61], [this, b]);
  }
  ne(b: F64): I32 {
    return new I32([0x62], [this, b]);
  }
  lt(b: F64): I32 {
    return new I32([0x63], [this, b]);
  }
  le(b: F64): I32 {
    return new I32([0x65], [this, b]);
  }
  ge(b: F64): I32 {
    return new I32([0x66], [this, b]);
  }
  abs(): F64 {
    return new F64([0x99], [this]);
  }
  nearest(): F64 {
    return new F64([0x9e], [this]);
  }
  sqrt(): F64 {
    return new F64([0x9f], [this]);
  }
  add(b: F64): F64 {
    return new F64([0xa0], [this, b]);
  }
  sub(b: F64): F64 {
    return new F64([0xa1], [this, b]);
  }
  mul(b: F64): F64 {
    return new F64([0xa2], [this, b]);
  }
  div(b: F64): F64 {
    return new F64([0xa3], [this, b]);
  }
  bits(): I64 {
    return new I64([0xbd], [this]);
  }
  /** Truncated, saturating at the ends. */
  toI32Sat(): I32 {
    return new I32([0xfc, 2], [this]);
  }
  toI64Sat(): I64 {
    return new I64([0xfc, 6], [this]);
  }
}

/** The SIMD instructions that take vectors and give a vector: WebAssembly specification, vector instructions. */
export class V128 extends Expr {
  override readonly type = 'v128';

  static const(bytes: readonly number[]): V128 {
    return new V128([0xfd, 12, ...bytes]);
  }

  /** Sixteen copies of the low byte. */
  static splatI8(value: I32Like): V128 {
    return new V128([0xfd, 15], [I32.of(value)]);
  }
  static splatI16(value: I32Like): V128 {
    return new V128([0xfd, 16], [I32.of(value)]);
  }
  static splatI32(value: I32Like): V128 {
    return new V128([0xfd, 17], [I32.of(value)]);
  }
  static splatI64(value: I64Like): V128 {
    return new V128([0xfd, 18], [I64.of(value)]);
  }

  /** An instruction of the 0xfd group by number (simd.ts), with this vector as the first operand. */
  simd(opcode: number, ...args: Expr[]): V128 {
    return new V128([0xfd, ...unsignedLeb(opcode)], [this, ...args]);
  }

  /** Like simd(), for the instructions that give an i32 (bitmask, any_true, all_true). */
  simdI32(opcode: number): I32 {
    return new I32([0xfd, ...unsignedLeb(opcode)], [this]);
  }

  /** i8x16.shuffle: lanes 0-15 of this, 16-31 of b. */
  shuffle(b: V128, lanes: readonly number[]): V128 {
    return new V128([0xfd, 13, ...lanes], [this, b]);
  }

  extractI64(lane: 0 | 1): I64 {
    return new I64([0xfd, 29, lane], [this]);
  }
  replaceI64(lane: 0 | 1, value: I64): V128 {
    return new V128([0xfd, 30, lane], [this, value]);
  }
  extractI32(lane: number): I32 {
    return new I32([0xfd, 27, lane], [this]);
  }
  replaceI32(lane: number, value: I32): V128 {
    return new V128([0xfd, 28, lane], [this, value]);
  }
  extractF32(lane: number): F32 {
    return new F32([0xfd, 31, lane], [this]);
  }
  replaceF32(lane: number, value: F32): V128 {
    return new V128([0xfd, 32, lane], [this, value]);
  }
  extractF64(lane: 0 | 1): F64 {
    return new F64([0xfd, 33, lane], [this]);
  }
  replaceF64(lane: 0 | 1, value: F64): V128 {
    return new V128([0xfd, 34, lane], [this, value]);
  }
  not(): V128 {
    return this.simd(77);
  }
  and(b: V128): V128 {
    return this.simd(78, b);
  }
  andnot(b: V128): V128 {
    return this.simd(79, b);
  }
  or(b: V128): V128 {
    return this.simd(80, b);
  }
  xor(b: V128): V128 {
    return this.simd(81, b);
  }
}

export type ExprOf = { i32: I32; i64: I64; f32: F32; f64: F64; v128: V128 };
const CLASSES = { i32: I32, i64: I64, f32: F32, f64: F64, v128: V128 };

/** An expression of a type that is known only at generation time. */
export function exprOf<T extends ValType>(type: T, code: readonly number[], args: readonly Expr[] = []): ExprOf[T] {
  return new CLASSES[type](code, args) as ExprOf[T];
}

/** `condition` ? a : b, with both sides evaluated. */
export function select<E extends Expr>(condition: I32, a: E, b: E): E {
  const code = a.type === 'v128' ? [0x1c, 1, VALTYPE.v128] : [0x1b];
  return exprOf(a.type, code, [a, b, condition]) as Expr as E;
}
