/** The part of FunctionBuilder that accesses memory. `offset` is the constant part of an address. */
import { type Expr, I32, type I32Like, I64, type I64Like, V128 } from './expr.ts';
import { unsignedLeb, Writer } from './writer.ts';

/** Bytes of a function that there is room for at first. */
const CAPACITY = 4096;

export abstract class MemoryBuilder {
  /** The instructions so far. */
  protected out = new Writer(CAPACITY);

  load8u(base: I32, offset = 0): I32 {
    return new I32(memory(0x2d, offset), [base]);
  }
  load16u(base: I32, offset = 0): I32 {
    return new I32(memory(0x2f, offset), [base]);
  }
  load32(base: I32, offset = 0): I32 {
    return new I32(memory(0x28, offset), [base]);
  }
  load64(base: I32, offset = 0): I64 {
    return new I64(memory(0x29, offset), [base]);
  }
  load8u64(base: I32, offset = 0): I64 {
    return new I64(memory(0x31, offset), [base]);
  }
  load8s64(base: I32, offset = 0): I64 {
    return new I64(memory(0x30, offset), [base]);
  }
  load16u64(base: I32, offset = 0): I64 {
    return new I64(memory(0x33, offset), [base]);
  }
  load16s64(base: I32, offset = 0): I64 {
    return new I64(memory(0x32, offset), [base]);
  }
  load32u64(base: I32, offset = 0): I64 {
    return new I64(memory(0x35, offset), [base]);
  }
  load32s64(base: I32, offset = 0): I64 {
    return new I64(memory(0x34, offset), [base]);
  }
  /** Four or eight bytes, and zeros above. */
  load32zero(base: I32, offset = 0): V128 {
    return new V128([0xfd, ...memory(92, offset)], [base]);
  }
  load64zero(base: I32, offset = 0): V128 {
    return new V128([0xfd, ...memory(93, offset)], [base]);
  }
  load128(base: I32, offset = 0): V128 {
    return new V128([0xfd, ...memory(0, offset)], [base]);
  }

  store8(base: I32, offset: number, value: I32Like): void {
    this.#store(0x3a, base, offset, I32.of(value));
  }
  store16(base: I32, offset: number, value: I32Like): void {
    this.#store(0x3b, base, offset, I32.of(value));
  }
  store32(base: I32, offset: number, value: I32Like): void {
    this.#store(0x36, base, offset, I32.of(value));
  }
  store64(base: I32, offset: number, value: I64Like): void {
    this.#store(0x37, base, offset, I64.of(value));
  }
  store8of64(base: I32, offset: number, value: I64): void {
    this.#store(0x3c, base, offset, value);
  }
  store16of64(base: I32, offset: number, value: I64): void {
    this.#store(0x3d, base, offset, value);
  }
  store32of64(base: I32, offset: number, value: I64): void {
    this.#store(0x3e, base, offset, value);
  }

  store128(base: I32, offset: number, value: V128): void {
    base.emit(this.out);
    value.emit(this.out);
    this.out.u8(0xfd);
    this.out.bytes(memory(11, offset));
  }

  /** The lowest four or eight bytes of a vector. */
  store32low(base: I32, offset: number, value: V128): void {
    this.effect([0xfd, ...memory(90, offset), 0], base, value);
  }

  store64low(base: I32, offset: number, value: V128): void {
    this.effect([0xfd, ...memory(91, offset), 0], base, value);
  }

  memoryCopy(to: I32, from: I32, bytes: I32Like): void {
    for (const e of [to, from, I32.of(bytes)]) e.emit(this.out);
    this.out.bytes([0xfc, 10, 0, 0]);
  }

  memoryFill(to: I32, value: I32Like, bytes: I32Like): void {
    for (const e of [to, I32.of(value), I32.of(bytes)]) e.emit(this.out);
    this.out.bytes([0xfc, 11, 0]);
  }

  /** An instruction that gives no value. */
  effect(code: readonly number[], ...args: Expr[]): void {
    for (const arg of args) arg.emit(this.out);
    this.out.bytes(code);
  }

  #store(opcode: number, base: I32, offset: number, value: Expr): void {
    base.emit(this.out);
    value.emit(this.out);
    this.out.bytes(memory(opcode, offset));
  }
}

/** Those of instructions that were asked for before: nearly all are accesses to the same fields. */
const KEPT_OFFSETS = 4096;
const memoryCodes = new Map<number, readonly number[]>();

/** A memory instruction: opcode, no promise about the alignment, constant offset. */
function memory(opcode: number, offset: number): readonly number[] {
  if (offset >= KEPT_OFFSETS) return [opcode, 0, ...unsignedLeb(offset)];
  const key = opcode * KEPT_OFFSETS + offset;
  let code = memoryCodes.get(key);
  if (code === undefined) {
    code = [opcode, 0, ...unsignedLeb(offset)];
    memoryCodes.set(key, code);
  }
  return code;
}
