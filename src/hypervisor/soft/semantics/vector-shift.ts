import type { OpName } from '../decode/opcodes.ts';
import { I32, select, V128 } from '../wasm/expr.ts';
import { SIMD } from '../wasm/simd.ts';
import { iota, type VectorEmit, type VectorForm, type VectorOp, zero } from './vector-op.ts';

const isImmediate = (form: VectorForm) => form.files.endsWith('i');

/** The count, 0 to 2^32 - 1: the immediate byte or the whole low half of b, where what does not fit counts as too much. */
function shiftCount(e: VectorEmit, form: VectorForm): I32 & { readonly local: number } {
  if (isImmediate(form)) return e.f.let(e.imm32().and(0xff));
  const count = e.f.let(e.vector('b').extractI64(0));
  return e.f.let(select(count.geU(0x100), I32.const(0xff), count.wrap()));
}

/** Shifts of all lanes by one count. From `width` bits on logical shifts give 0; arithmetic ones the sign everywhere. */
function shift(op: OpName, simd: number, width: number, arithmetic: boolean): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const count = shiftCount(e, form);
    if (arithmetic) {
      const bounded = select(count.ltU(width), count, I32.const(width - 1));
      e.setVector('a', e.vector('a').simd(simd, bounded));
    } else {
      e.setVector('a', select(count.ltU(width), e.vector('a').simd(simd, count), zero()));
    }
  };
  return { op, a: 'rw', forms: ['xx', 'mm', 'xi', 'mi'], emit };
}

/** psrldq: byte i comes from i + count; swizzle gives 0 for places beyond the vector. */
function shiftBytesRight(e: VectorEmit): void {
  const place = iota().simd(SIMD.addSatI8U, V128.splatI8(e.imm32()));
  e.setVector('a', e.vector('a').simd(SIMD.swizzle, place));
}

/** pslldq: byte i comes from i - count, which wraps around to a place beyond the vector as long as count is at most 16. */
function shiftBytesLeft(e: VectorEmit): void {
  const imm = e.f.let(e.imm32().and(0xff));
  const place = iota().simd(SIMD.subI8, V128.splatI8(select(imm.gtU(16), I32.const(16), imm)));
  e.setVector('a', e.vector('a').simd(SIMD.swizzle, place));
}

/** Shifts of MMX and SSE2, by a register and by an immediate. */
export const VECTOR_SHIFT: readonly VectorOp[] = [
  shift('psllw', SIMD.shlI16, 16, false),
  shift('pslld', SIMD.shlI32, 32, false),
  shift('psllq', SIMD.shlI64, 64, false),
  shift('psrlw', SIMD.shrI16U, 16, false),
  shift('psrld', SIMD.shrI32U, 32, false),
  shift('psrlq', SIMD.shrI64U, 64, false),
  shift('psraw', SIMD.shrI16S, 16, true),
  shift('psrad', SIMD.shrI32S, 32, true),
  { op: 'psrldq', a: 'rw', forms: ['xi'], emit: shiftBytesRight },
  { op: 'pslldq', a: 'rw', forms: ['xi'], emit: shiftBytesLeft },
];
