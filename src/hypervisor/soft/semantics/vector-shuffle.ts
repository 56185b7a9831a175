/**
 * Instructions that move elements of vectors. Immediates are values at run time here: a selector becomes a vector of
 * places for i8x16.swizzle by arithmetic, and a bit mask becomes a vector mask by comparison.
 */
import type { OpName } from '../decode/opcodes.ts';
import { type I32, select, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';
import { SIMD } from '../wasm/simd.ts';
import {
  binary,
  bitselect,
  bytes,
  dwords,
  iota,
  isMmx,
  lanes,
  MMX,
  qwords,
  unary,
  type VectorEmit,
  type VectorForm,
  type VectorOp,
  words,
  XMM,
  XMM_MMX,
} from './vector-op.ts';

/** Interleaves the low or high halves of a and b. */
function unpack(op: OpName, width: 1 | 2 | 4 | 8, high: boolean, forms: VectorOp['forms']): VectorOp {
  return binary(op, forms, (a, b, _f, form) => {
    const perRegister = (isMmx(form) ? 8 : 16) / width;
    const first = high ? perRegister / 2 : 0;
    const elements = Array.from({ length: perRegister }, (_, i) => first + (i >> 1) + ((i & 1) * 16) / width);
    return a.shuffle(b, lanes(width, elements));
  });
}

/** Narrows a and b with saturation. */
function narrow(op: OpName, simd: number, forms: VectorOp['forms']): VectorOp {
  return binary(op, forms, (a, b, f, form) => {
    if (!isMmx(form)) return a.simd(simd, b);
    const both = f.let(a.shuffle(b, lanes(8, [0, 2])));
    return both.simd(simd, both);
  });
}

/** The four 2-bit fields of an immediate, one in each byte, each times `scale`. */
function fields(f: FunctionBuilder, immediate: I32, scale: number): I32 {
  const imm = f.let(immediate);
  const spread = imm.and(3).or(imm.and(0x0c).shl(6)).or(imm.and(0x30).shl(12)).or(imm.and(0xc0).shl(18));
  return spread.mul(scale);
}

/** Places of 32-bit elements that a selector names. */
function dwordPlaces(e: VectorEmit): V128 {
  const spread = e.f.let(V128.splatI32(fields(e.f, e.imm32(), 4)));
  return spread.shuffle(spread, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]).or(bytes((i) => i & 3));
}

/** Places of 16-bit elements that a selector names for one half of a register; the other half stays. */
function wordPlaces(e: VectorEmit, high: boolean): V128 {
  const spread = e.f.let(V128.splatI32(fields(e.f, e.imm32(), 2)));
  const chosen = [0, 0, 1, 1, 2, 2, 3, 3];
  const kept = [24, 25, 26, 27, 28, 29, 30, 31];
  const low = kept.map((i) => i - 8);
  const order = high ? [...low, ...chosen] : [...chosen, ...kept];
  const base = bytes((i) => (i < 8 === high ? 0 : (i & 1) + (high ? 8 : 0)));
  return spread.shuffle(iota(), order).simd(SIMD.addI8, base);
}

function shuffleBy(op: OpName, forms: VectorOp['forms'], places: (e: VectorEmit) => V128): VectorOp {
  return { op, a: 'w', forms, emit: (e) => e.setVector('a', e.vector('b').simd(SIMD.swizzle, places(e))) };
}

/** Two elements of a, then two of b. */
function shufps(e: VectorEmit): void {
  const places = e.f.let(dwordPlaces(e));
  const low = e.vector('a').simd(SIMD.swizzle, places);
  const high = e.vector('b').simd(SIMD.swizzle, places);
  e.setVector('a', low.shuffle(high, lanes(8, [0, 3])));
}

function shufpd(e: VectorEmit): void {
  const imm = e.f.let(e.imm32());
  const a = e.f.let(e.vector('a'));
  const b = e.f.let(e.vector('b'));
  const pick = (v: V128, bit: I32) => select(bit, v.extractI64(1), v.extractI64(0));
  e.setVector('a', V128.splatI64(pick(a, imm.and(1))).replaceI64(1, pick(b, imm.and(2))));
}

/** The elements of b whose bit in the immediate is set, the others of a. */
function blend(op: OpName, bits: V128, splat: (imm: I32) => V128, equal: number): VectorOp {
  const emit = (e: VectorEmit) => {
    const mask = splat(e.imm32()).and(bits).simd(equal, bits);
    e.setVector('a', bitselect(e.vector('b'), e.vector('a'), mask));
  };
  return { op, a: 'rw', forms: XMM, emit };
}

/** The elements of b whose sign in XMM0 is set, the others of a. */
function blendVariable(op: OpName, signs: (mask: V128, zero: V128) => V128): VectorOp {
  const emit = (e: VectorEmit) => {
    const mask = signs(e.vectorRegister(0), V128.splatI32(0));
    e.setVector('a', bitselect(e.vector('b'), e.vector('a'), mask));
  };
  return { op, a: 'rw', forms: XMM, implicit: ['xmm0'], emit };
}

/** An element of b goes to one of a, then some become zero. From memory there is only one element to choose. */
function insertps(e: VectorEmit, form: VectorForm): void {
  const imm = e.f.let(e.imm32());
  const source = form.memory === 'b' ? bytes((i) => i & 3) : V128.splatI8(imm.shrU(4).and(12)).or(bytes((i) => i & 3));
  const value = e.vector('b').simd(SIMD.swizzle, source);
  const place = V128.splatI32(imm.shrU(4).and(3)).simd(
    SIMD.eqI32,
    dwords((i) => i),
  );
  const bits = () => dwords((i) => 1 << i);
  const cleared = V128.splatI32(imm).and(bits()).simd(SIMD.eqI32, bits());
  e.setVector('a', bitselect(value, e.vector('a'), place).andnot(cleared));
}

/** The 16 (MMX: 8) bytes that begin at byte `imm` of b followed by a. */
function palignr(e: VectorEmit, form: VectorForm): void {
  const a = e.vector('a');
  const b = e.vector('b');
  const place = e.f.let(iota().simd(SIMD.addSatI8U, V128.splatI8(e.imm32())));
  if (isMmx(form)) {
    e.setVector('a', b.shuffle(a, lanes(8, [0, 2])).simd(SIMD.swizzle, place));
    return;
  }
  const above = place.simd(SIMD.subI8, V128.splatI8(16));
  e.setVector('a', b.simd(SIMD.swizzle, place).or(a.simd(SIMD.swizzle, above)));
}

/** Bytes of a at the places that b names; a place with its top bit set gives 0. */
const pshufb = binary('pshufb', XMM_MMX, (a, b, _f, form) =>
  a.simd(SIMD.swizzle, b.and(bytes(() => (isMmx(form) ? 0x87 : 0x8f)))),
);

/** Widens the low elements of b, by instructions that each double their width. */
function widen(op: OpName, ...steps: readonly number[]): VectorOp {
  return unary(op, XMM, (b) => steps.reduce((v, step) => v.simd(step), b));
}

const SIGNED = [SIMD.extendLowI8S, SIMD.extendLowI16S, SIMD.extendLowI32S] as const;
const UNSIGNED = [SIMD.extendLowI8U, SIMD.extendLowI16U, SIMD.extendLowI32U] as const;

/** Shuffles, packs, unpacks, blends and widenings of MMX to SSE4.1. */
export const VECTOR_SHUFFLE: readonly VectorOp[] = [
  unpack('punpcklbw', 1, false, XMM_MMX),
  unpack('punpcklwd', 2, false, XMM_MMX),
  unpack('punpckldq', 4, false, XMM_MMX),
  unpack('punpcklqdq', 8, false, XMM),
  unpack('punpckhbw', 1, true, XMM_MMX),
  unpack('punpckhwd', 2, true, XMM_MMX),
  unpack('punpckhdq', 4, true, XMM_MMX),
  unpack('punpckhqdq', 8, true, XMM),
  unpack('unpcklps', 4, false, XMM),
  unpack('unpckhps', 4, true, XMM),
  unpack('unpcklpd', 8, false, XMM),
  unpack('unpckhpd', 8, true, XMM),
  narrow('packsswb', SIMD.narrowI16S, XMM_MMX),
  narrow('packuswb', SIMD.narrowI16U, XMM_MMX),
  narrow('packssdw', SIMD.narrowI32S, XMM_MMX),
  narrow('packusdw', SIMD.narrowI32U, XMM),
  shuffleBy('pshufd', XMM, dwordPlaces),
  shuffleBy('pshuflw', XMM, (e) => wordPlaces(e, false)),
  shuffleBy('pshufw', MMX, (e) => wordPlaces(e, false)),
  shuffleBy('pshufhw', XMM, (e) => wordPlaces(e, true)),
  { op: 'shufps', a: 'rw', forms: XMM, emit: shufps },
  { op: 'shufpd', a: 'rw', forms: XMM, emit: shufpd },
  blend(
    'pblendw',
    words((i) => 1 << i),
    (imm) => V128.splatI16(imm),
    SIMD.eqI16,
  ),
  blend(
    'blendps',
    dwords((i) => 1 << i),
    (imm) => V128.splatI32(imm),
    SIMD.eqI32,
  ),
  blend(
    'blendpd',
    qwords((i) => 1 << i),
    (imm) => V128.splatI64(imm.toI64()),
    SIMD.eqI64,
  ),
  blendVariable('pblendvb', (mask, zero) => zero.simd(SIMD.gtI8, mask)),
  blendVariable('blendvps', (mask, zero) => zero.simd(SIMD.gtI32, mask)),
  blendVariable('blendvpd', (mask, zero) => zero.simd(SIMD.gtI64, mask)),
  { op: 'insertps', a: 'rw', forms: XMM, emit: insertps },
  { op: 'palignr', a: 'rw', forms: XMM_MMX, emit: palignr },
  pshufb,
  widen('pmovsxbw', SIGNED[0]),
  widen('pmovsxbd', SIGNED[0], SIGNED[1]),
  widen('pmovsxbq', ...SIGNED),
  widen('pmovsxwd', SIGNED[1]),
  widen('pmovsxwq', SIGNED[1], SIGNED[2]),
  widen('pmovsxdq', SIGNED[2]),
  widen('pmovzxbw', UNSIGNED[0]),
  widen('pmovzxbd', UNSIGNED[0], UNSIGNED[1]),
  widen('pmovzxbq', ...UNSIGNED),
  widen('pmovzxwd', UNSIGNED[1]),
  widen('pmovzxwq', UNSIGNED[1], UNSIGNED[2]),
  widen('pmovzxdq', UNSIGNED[2]),
  unary('movddup', XMM, (b) => b.shuffle(b, lanes(8, [0, 0]))),
  unary('movsldup', XMM, (b) => b.shuffle(b, lanes(4, [0, 0, 2, 2]))),
  unary('movshdup', XMM, (b) => b.shuffle(b, lanes(4, [1, 1, 3, 3]))),
];
