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

/**
 * The instructions on integers, which exist for both widths (WebAssembly specification, 5.4.7). Opcodes here are those of
 * i32; those of i64 lie behind them, each kind at its own distance.
 */
abstract class Integer<Self extends Expr, Like> extends Expr {
  abstract override readonly type: 'i32' | 'i64';
  protected abstract make(opcode: number, args: readonly Expr[]): Self;
  /** A second operand; a constant may be given as a number. */
  protected abstract operand(b: Like): Expr;

  eqz(): I32 {
    return new I32([this.#wide(0x45, 11)], [this]);
  }
  eq(b: Like): I32 {
    return this.#test(0x46, b);
  }
  ne(b: Like): I32 {
    return this.#test(0x47, b);
  }
  ltS(b: Like): I32 {
    return this.#test(0x48, b);
  }
  ltU(b: Like): I32 {
    return this.#test(0x49, b);
  }
  gtS(b: Like): I32 {
    return this.#test(0x4a, b);
  }
  gtU(b: Like): I32 {
    return this.#test(0x4b, b);
  }
  leS(b: Like): I32 {
    return this.#test(0x4c, b);
  }
  leU(b: Like): I32 {
    return this.#test(0x4d, b);
  }
  geS(b: Like): I32 {
    return this.#test(0x4e, b);
  }
  geU(b: Like): I32 {
    return this.#test(0x4f, b);
  }
  clz(): Self {
    return this.make(this.#wide(0x67, 18), [this]);
  }
  ctz(): Self {
    return this.make(this.#wide(0x68, 18), [this]);
  }
  popcnt(): Self {
    return this.make(this.#wide(0x69, 18), [this]);
  }
  add(b: Like): Self {
    return this.#computeUnless0(0x6a, b);
  }
  sub(b: Like): Self {
    return this.#compute(0x6b, b);
  }
  mul(b: Like): Self {
    return this.#compute(0x6c, b);
  }
  divS(b: Like): Self {
    return this.#compute(0x6d, b);
  }
  divU(b: Like): Self {
    return this.#compute(0x6e, b);
  }
  remS(b: Like): Self {
    return this.#compute(0x6f, b);
  }
  remU(b: Like): Self {
    return this.#compute(0x70, b);
  }
  and(b: Like): Self {
    return this.#compute(0x71, b);
  }
  or(b: Like): Self {
    return this.#compute(0x72, b);
  }
  xor(b: Like): Self {
    return this.#compute(0x73, b);
  }
  shl(b: Like): Self {
    return this.#computeUnless0(0x74, b);
  }
  shrS(b: Like): Self {
    return this.#computeUnless0(0x75, b);
  }
  shrU(b: Like): Self {
    return this.#computeUnless0(0x76, b);
  }
  rotl(b: Like): Self {
    return this.#compute(0x77, b);
  }
  rotr(b: Like): Self {
    return this.#compute(0x78, b);
  }
  extend8S(): Self {
    return this.make(this.#wide(0xc0, 2), [this]);
  }
  extend16S(): Self {
    return this.make(this.#wide(0xc1, 2), [this]);
  }
  toF32S(): F32 {
    return new F32([this.#wide(0xb2, 2)], [this]);
  }
  toF64S(): F64 {
    return new F64([this.#wide(0xb7, 2)], [this]);
  }

  #wide(opcode: number, distance: number): number {
    return this.type === 'i64' ? opcode + distance : opcode;
  }

  #test(opcode: number, b: Like): I32 {
    return new I32([this.#wide(opcode, 11)], [this, this.operand(b)]);
  }

  #compute(opcode: number, b: Like): Self {
    return this.make(this.#wide(opcode, 18), [this, this.operand(b)]);
  }

  /** Of an operation that 0 changes nothing by. */
  #computeUnless0(opcode: number, b: Like): Self {
    return b === 0 ? (this as Expr as Self) : this.#compute(opcode, b);
  }
}

export class I32 extends Integer<I32, I32 | number> {
  static readonly #small: (I32 | undefined)[] = [];
  override readonly type = 'i32';

  static const(value: number): I32 {
    return kept(I32.#small, value | 0, (v) => new I32([0x41, ...signedLeb(v)]));
  }

  static of(value: I32Like): I32 {
    return typeof value === 'number' ? I32.const(value) : value;
  }

  /** Zero-extended to 64 bits. */
  toI64(): I64 {
    return new I64([0xad], [this]);
  }

  protected override make(opcode: number, args: readonly Expr[]): I32 {
    return new I32([opcode], args);
  }

  protected override operand(b: I32Like): I32 {
    return I32.of(b);
  }
}

export class I64 extends Integer<I64, I64 | number | bigint> {
  static readonly #small: (I64 | undefined)[] = [];
  override readonly type = 'i64';

  static const(value: number | bigint): I64 {
    if (typeof value === 'number') return kept(I64.#small, value, (v) => new I64([0x42, ...signedLeb(v)]));
    return new I64([0x42, ...signedLeb(value)]);
  }

  static of(value: I64Like): I64 {
    return value instanceof I64 ? value : I64.const(value);
  }

  extend32S(): I64 {
    return new I64([0xc4], [this]);
  }
  /** The low 32 bits. */
  wrap(): I32 {
    return new I32([0xa7], [this]);
  }
  /** The number that these are the bits of. */
  asF64(): F64 {
    return new F64([0xbf], [this]);
  }

  protected override make(opcode: number, args: readonly Expr[]): I64 {
    return new I64([opcode], args);
  }

  protected override operand(b: I64Like): I64 {
    return I64.of(b);
  }
}

/** Those on floating-point numbers, likewise by their opcodes of f32. */
abstract class Float<Self extends Expr> extends Expr {
  abstract override readonly type: 'f32' | 'f64';

  eq(b: Self): I32 {
    return this.#test(0x5b, b);
  }
  ne(b: Self): I32 {
    return this.#test(0x5c, b);
  }
  lt(b: Self): I32 {
    return this.#test(0x5d, b);
  }
  ge(b: Self): I32 {
    return this.#test(0x60, b);
  }
  /** Truncated, saturating at the ends. */
  toI32Sat(): I32 {
    return new I32([0xfc, this.#wide(0, 2)], [this]);
  }
  toI64Sat(): I64 {
    return new I64([0xfc, this.#wide(4, 2)], [this]);
  }

  #wide(opcode: number, distance: number): number {
    return this.type === 'f64' ? opcode + distance : opcode;
  }

  #test(opcode: number, b: Self): I32 {
    return new I32([this.#wide(opcode, 6)], [this, b]);
  }
}

export class F32 extends Float<F32> {
  override readonly type = 'f32';

  toF64(): F64 {
    return new F64([0xbb], [this]);
  }
}

export class F64 extends Float<F64> {
  override readonly type = 'f64';

  static const(value: number): F64 {
    return new F64([0x44, ...new Uint8Array(Float64Array.of(value).buffer)]);
  }

  add(b: F64): F64 {
    return new F64([0xa0], [this, b]);
  }
  bits(): I64 {
    return new I64([0xbd], [this]);
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
