/** MUL, IMUL, DIV, IDIV and the sign extensions into rDX (Intel SDM vol. 2). */

import { VECTOR } from '../architecture.ts';
import { OP } from '../decode/opcodes.ts';
import { SLOT } from '../state.ts';
import { I64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import { type Size, signExtend, zeroExtend } from './flags.ts';

/** The upper 64 bits of the unsigned product of two locals. */
export function multiplyHigh(f: FunctionBuilder, a: I64, b: I64): I64 {
  const aLow = f.let(a.and(0xffff_ffff));
  const aHigh = f.let(a.shrU(32));
  const bLow = f.let(b.and(0xffff_ffff));
  const bHigh = f.let(b.shrU(32));
  const middle = f.let(aHigh.mul(bLow).add(aLow.mul(bLow).shrU(32)));
  const low = f.let(middle.and(0xffff_ffff).add(aLow.mul(bHigh)));
  return aHigh.mul(bHigh).add(middle.shrU(32)).add(low.shrU(32));
}

/** CF = OF = `overflow`; the other flags, undefined by the architecture, follow the low half as on current CPUs. */
function setFlags(e: Emit, low: I64, overflow: I64, size: Size): void {
  const o = e.f.let(overflow);
  e.flags.shifted(low, size, o, o);
}

/** rDX:rAX (AX for bytes) = product, given its two halves. */
function setProduct(e: Emit, low: I64, high: I64, size: Size): void {
  if (size === 1) {
    e.setSlot(SLOT.rax, 2, low.and(0xff).or(high.shl(8)));
  } else {
    e.setSlot(SLOT.rax, size, low);
    e.setSlot(SLOT.rdx, size, high);
  }
}

function multiply(e: Emit, size: Size): void {
  const { f } = e;
  const a = f.let(e.getSlot(SLOT.rax, size));
  const b = f.let(e.get('b', size));
  const low = f.let(a.mul(b));
  const high = f.let(size === 8 ? multiplyHigh(f, a, b) : low.shrU(size * 8));
  setProduct(e, low, high, size);
  setFlags(e, low, high.ne(0).toI64(), size);
}

function multiplySigned(e: Emit, size: Size): void {
  const { f } = e;
  const a = f.let(signExtend(e.getSlot(SLOT.rax, size), size));
  const b = f.let(e.getSigned('b', size));
  const low = f.let(a.mul(b));
  const high = f.let(size === 8 ? signedHigh(f, a, b) : low.shrS(size * 8));
  setProduct(e, low, size === 1 ? high.and(0xff) : high, size);
  setFlags(e, low, high.ne(signExtend(low, size).shrS(63)).toI64(), size);
}

function signedHigh(f: FunctionBuilder, a: I64, b: I64): I64 {
  return multiplyHigh(f, a, b).sub(a.shrS(63).and(b)).sub(b.shrS(63).and(a));
}

/** IMUL with two or three operands: a = x * y, truncated. */
function multiplyTruncated(e: Emit, x: I64, y: I64, size: Size): void {
  const { f } = e;
  const a = f.let(x);
  const b = f.let(y);
  const r = f.let(a.mul(b));
  const overflow = size === 8 ? signedHigh(f, a, b).ne(r.shrS(63)) : signExtend(r, size).ne(r);
  setFlags(e, r, overflow.toI64(), size);
  e.set('a', size, zeroExtend(r, size));
}

/** The dividend of a division by 1, 2 or 4 bytes, as 64 bits. */
function dividend(e: Emit, size: 1 | 2 | 4): I64 {
  if (size === 1) return e.getSlot(SLOT.rax, 2);
  return e.getSlot(SLOT.rax, size).or(e.getSlot(SLOT.rdx, size).shl(size * 8));
}

function setQuotient(e: Emit, quotient: I64, remainder: I64, size: Size): void {
  if (size === 1) {
    e.setSlot(SLOT.rax, 2, quotient.and(0xff).or(remainder.and(0xff).shl(8)));
  } else {
    e.setSlot(SLOT.rax, size, zeroExtend(quotient, size));
    e.setSlot(SLOT.rdx, size, zeroExtend(remainder, size));
  }
}

function divide(e: Emit, size: Size): void {
  const { f } = e;
  const by = f.let(e.get('b', size));
  f.if(by.eqz(), () => e.raise(VECTOR.de));
  if (size === 8) {
    f.if(
      e.getSlot(SLOT.rdx, 8).ne(0),
      () => e.exact(OP.div),
      () => {
        const n = f.let(e.getSlot(SLOT.rax, 8));
        setQuotient(e, f.let(n.divU(by)), f.let(n.remU(by)), 8);
      },
    );
    return;
  }
  const n = f.let(dividend(e, size));
  const quotient = f.let(n.divU(by));
  f.if(quotient.shrU(size * 8).ne(0), () => e.raise(VECTOR.de));
  setQuotient(e, quotient, f.let(n.remU(by)), size);
}

function divideSigned(e: Emit, size: Size): void {
  const { f } = e;
  const by = f.let(e.getSigned('b', size));
  f.if(by.eqz(), () => e.raise(VECTOR.de));
  if (size === 8) {
    const n = f.let(e.getSlot(SLOT.rax, 8));
    const fits = e.getSlot(SLOT.rdx, 8).eq(n.shrS(63));
    f.if(
      fits.and(by.ne(-1)),
      () => setQuotient(e, f.let(n.divS(by)), f.let(n.remS(by)), 8),
      () => e.exact(OP.idiv),
    );
    return;
  }
  const n = f.let(size === 1 ? dividend(e, 1).extend16S() : signExtend(dividend(e, size), size === 2 ? 4 : 8));
  // The most negative dividend overflows for -1 (and traps in WebAssembly).
  f.if(by.eq(-1).and(n.eq(I64.const(-1n << 63n))), () => e.raise(VECTOR.de));
  const quotient = f.let(n.divS(by));
  f.if(signExtend(quotient, size).ne(quotient), () => e.raise(VECTOR.de));
  setQuotient(e, quotient, f.let(n.remS(by)), size);
}

export function defineMultiply(ops: MicroOps): void {
  for (const size of SIZES) {
    ops[size === 8 ? 'hot' : 'cold'](`mul.${size}`, (e) => multiply(e, size));
    ops.cold(`imul1.${size}`, (e) => multiplySigned(e, size));
    ops.cold(`div.${size}`, (e) => divide(e, size));
    ops.cold(`idiv.${size}`, (e) => divideSigned(e, size));
  }
  for (const size of [2, 4, 8] as const) {
    const form = size >= 4 ? 'hot' : 'cold';
    ops[form](`imul.${size}.rr`, (e) => multiplyTruncated(e, e.getSigned('a', size), e.getSigned('b', size), size));
    ops[form](`imul.${size}.ri`, (e) => multiplyTruncated(e, e.getSigned('b', size), e.imm(), size));
    const half = (size / 2) as Size;
    ops.cold(`cbw.${size}`, (e) =>
      e.setSlot(SLOT.rax, size, zeroExtend(signExtend(e.getSlot(SLOT.rax, half), half), size)),
    );
    ops.cold(`cwd.${size}`, (e) =>
      e.setSlot(SLOT.rdx, size, zeroExtend(signExtend(e.getSlot(SLOT.rax, size), size).shrS(63), size)),
    );
  }
}
