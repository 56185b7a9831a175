/**
 * Atomic instructions on shared memory (WebAssembly threads proposal). Addresses are naturally aligned, or the access
 * traps. Each access is done where the call stands, and all are sequentially consistent: on x86-64 hosts the
 * read-modify-write ones are locked instructions, and so full barriers for plain accesses too.
 */
import { type Expr, I32, type I32Like, I64 } from './expr.ts';
import type { FunctionBuilder, Local } from './function-builder.ts';
import { unsignedLeb } from './writer.ts';

/** Bytes of an atomic access. */
export type AtomicSize = 1 | 2 | 4 | 8;

/** Opcodes of the i32 form that accesses 32 bits; the other forms follow. */
const RMW = { add: 0x1e, sub: 0x25, and: 0x2c, or: 0x33, xor: 0x3a, exchange: 0x41 } as const;
const COMPARE_EXCHANGE = 0x48;
const NOTIFY = 0x00;
const WAIT32 = 0x01;
const LOAD32 = 0x10;
const STORE32 = 0x17;
/** Added to such an opcode for the form of 64-bit values that accesses 1, 2, 4 or 8 bytes. */
const FORM: Readonly<Record<AtomicSize, number>> = { 1: 4, 2: 5, 4: 6, 8: 1 };

export type RmwOp = keyof typeof RMW;

function code(opcode: number, size: AtomicSize, offset: number): number[] {
  return [0xfe, opcode, Math.log2(size), ...unsignedLeb(offset)];
}

/** Replaces `size` bytes by `op` of them and the low bytes of `value`; gives what was there, zero-extended. */
export function atomicRmw(f: FunctionBuilder, op: RmwOp, address: I32, size: AtomicSize, value: I64): Local<'i64'> {
  return f.let(new I64(code(RMW[op] + FORM[size], size, 0), [address, value]));
}

/** The same for 32 bits at a constant offset from `base`. */
export function atomicRmw32(f: FunctionBuilder, op: RmwOp, base: I32, offset: number, value: I32Like): Local<'i32'> {
  return f.let(new I32(code(RMW[op], 4, offset), [base, I32.of(value)]));
}

/**
 * Stores the low bytes of `value` if the memory holds `expected`, which is zero-extended; gives what was there,
 * zero-extended.
 */
export function atomicCompareExchange(
  f: FunctionBuilder,
  address: I32,
  size: AtomicSize,
  expected: I64,
  value: I64,
): Local<'i64'> {
  return f.let(new I64(code(COMPARE_EXCHANGE + FORM[size], size, 0), [address, expected, value]));
}

export function atomicCompareExchange32(
  f: FunctionBuilder,
  base: I32,
  expected: I32Like,
  value: I32Like,
): Local<'i32'> {
  return f.let(new I32(code(COMPARE_EXCHANGE, 4, 0), [base, I32.of(expected), I32.of(value)]));
}

/** A load of `size` bytes, zero-extended. */
export function atomicLoad(f: FunctionBuilder, address: I32, size: AtomicSize): Local<'i64'> {
  return f.let(new I64(code(LOAD32 + FORM[size], size, 0), [address]));
}

export function atomicStore32(f: FunctionBuilder, base: I32, offset: number, value: I32Like): void {
  f.effect(code(STORE32, 4, offset), base, I32.of(value));
}

/** Sleeps while the 32 bits at `address` are `expected`, until a notice. Not for threads that must not block. */
export function atomicWait32(f: FunctionBuilder, address: I32, expected: I32Like): void {
  const args: Expr[] = [address, I32.of(expected), I64.const(-1)];
  f.drop(new I32(code(WAIT32, 4, 0), args));
}

/** Wakes up to `count` threads that wait for the word at `address`. */
export function atomicNotify(f: FunctionBuilder, address: I32, count: number): void {
  f.drop(new I32(code(NOTIFY, 4, 0), [address, I32.const(count)]));
}

/** A full barrier for plain accesses too. */
export function atomicFence(f: FunctionBuilder): void {
  f.effect([0xfe, 3, 0]);
}
