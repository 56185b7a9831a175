import type { OpName } from '../decode/opcodes.ts';
import { I32, V128 } from '../wasm/expr.ts';
import { SIMD } from '../wasm/simd.ts';
import {
  binary,
  bytes,
  direct,
  dwords,
  iota,
  isMmx,
  lanes,
  unary,
  type VectorOp,
  words,
  XMM,
  XMM_MMX,
} from './vector-op.ts';

const DIRECT: readonly (readonly [OpName, number])[] = [
  ['paddb', SIMD.addI8],
  ['paddw', SIMD.addI16],
  ['paddd', SIMD.addI32],
  ['paddq', SIMD.addI64],
  ['paddsb', SIMD.addSatI8S],
  ['paddsw', SIMD.addSatI16S],
  ['paddusb', SIMD.addSatI8U],
  ['paddusw', SIMD.addSatI16U],
  ['psubb', SIMD.subI8],
  ['psubw', SIMD.subI16],
  ['psubd', SIMD.subI32],
  ['psubq', SIMD.subI64],
  ['psubsb', SIMD.subSatI8S],
  ['psubsw', SIMD.subSatI16S],
  ['psubusb', SIMD.subSatI8U],
  ['psubusw', SIMD.subSatI16U],
  ['pcmpeqb', SIMD.eqI8],
  ['pcmpeqw', SIMD.eqI16],
  ['pcmpeqd', SIMD.eqI32],
  ['pcmpgtb', SIMD.gtI8],
  ['pcmpgtw', SIMD.gtI16],
  ['pcmpgtd', SIMD.gtI32],
  ['pminub', SIMD.minI8U],
  ['pmaxub', SIMD.maxI8U],
  ['pminsw', SIMD.minI16S],
  ['pmaxsw', SIMD.maxI16S],
  ['pavgb', SIMD.avgI8],
  ['pavgw', SIMD.avgI16],
  ['pmullw', SIMD.mulI16],
  ['pmaddwd', SIMD.dotI16],
];

/** SSE4.1 and SSE4.2 have no MMX forms. */
const DIRECT_XMM: readonly (readonly [OpName, number])[] = [
  ['pcmpeqq', SIMD.eqI64],
  ['pcmpgtq', SIMD.gtI64],
  ['pminsb', SIMD.minI8S],
  ['pmaxsb', SIMD.maxI8S],
  ['pminuw', SIMD.minI16U],
  ['pmaxuw', SIMD.maxI16U],
  ['pminsd', SIMD.minI32S],
  ['pmaxsd', SIMD.maxI32S],
  ['pminud', SIMD.minI32U],
  ['pmaxud', SIMD.maxI32U],
  ['pmulld', SIMD.mulI32],
];

/** The upper halves of the 32-bit products of 16-bit lanes. */
function multiplyHigh(op: OpName, low: number, high: number): VectorOp {
  return binary(op, XMM_MMX, (a, b) => a.simd(low, b).shuffle(a.simd(high, b), lanes(2, [1, 3, 5, 7, 9, 11, 13, 15])));
}

/** 64-bit products of the even 32-bit lanes. */
function multiplyEven(op: OpName, simd: number, forms: VectorOp['forms']): VectorOp {
  const even = (v: V128) => v.shuffle(v, lanes(4, [0, 2]));
  return binary(op, forms, (a, b) => even(a).simd(simd, even(b)));
}

/** Neighbours of a, then of b, added or subtracted. */
function horizontal(op: OpName, width: 2 | 4, simd: number): VectorOp {
  return binary(op, XMM_MMX, (a, b, _f, form) => {
    const half = (isMmx(form) ? 4 : 8) / width;
    const elements = (odd: number) =>
      Array.from({ length: half * 2 }, (_, i) => (i < half ? 2 * i : 16 / width + 2 * (i - half)) + odd);
    return a.shuffle(b, lanes(width, elements(0))).simd(simd, a.shuffle(b, lanes(width, elements(1))));
  });
}

/** a with the sign of b: negated, kept, or zero. */
function sign(op: OpName, equal: number, greater: number, subtract: number): VectorOp {
  return binary(op, XMM_MMX, (a, b, f) => {
    const none = f.let(V128.splatI32(0));
    const negative = f.let(none.simd(greater, b));
    return a.xor(negative).simd(subtract, negative).andnot(b.simd(equal, none));
  });
}

/** Unsigned bytes of a times signed bytes of b, neighbours added with saturation: SSSE3. */
const pmaddubsw = binary('pmaddubsw', XMM_MMX, (a, b) => {
  const even = a.and(words(() => 0xff)).simd(SIMD.mulI16, b.simd(SIMD.shlI16, eight()).simd(SIMD.shrI16S, eight()));
  const odd = a.simd(SIMD.shrI16U, eight()).simd(SIMD.mulI16, b.simd(SIMD.shrI16S, eight()));
  return even.simd(SIMD.addSatI16S, odd);
});

/** WebAssembly saturates -1 * -1, x86 lets it become -1 again. */
const pmulhrsw = binary('pmulhrsw', XMM_MMX, (a, b) => {
  const smallest = () => words(() => 0x8000);
  const both = a.simd(SIMD.eqI16, smallest()).and(b.simd(SIMD.eqI16, smallest()));
  return a.simd(SIMD.q15mulrI16, b).xor(both);
});

const difference = (a: V128, b: V128) => a.simd(SIMD.subSatI8U, b).or(b.simd(SIMD.subSatI8U, a));

const psadbw = binary('psadbw', XMM_MMX, (a, b, f) => {
  const quarters = f.let(difference(a, b).simd(SIMD.pairwiseI8U).simd(SIMD.pairwiseI16U));
  const sum = quarters.simd(SIMD.addI32, quarters.simd(SIMD.shrI64U, I32.const(32)));
  return sum.and(dwords((i) => ((i & 1) === 0 ? 0xffff : 0)));
});

/** The smallest word and, above it, its place: found as the smallest of words with their places appended. */
const phminposuw = unary('phminposuw', XMM, (b, f) => {
  const key = (extend: number, first: number) =>
    b
      .simd(extend)
      .simd(SIMD.shlI32, I32.const(3))
      .or(dwords((i) => i + first));
  const four = f.let(key(SIMD.extendLowI16U, 0).simd(SIMD.minI32U, key(SIMD.extendHighI16U, 4)));
  const two = f.let(four.simd(SIMD.minI32U, four.shuffle(four, lanes(4, [2, 3, 0, 1]))));
  const one = f.let(two.simd(SIMD.minI32U, two.shuffle(two, lanes(4, [1, 0, 3, 2]))).extractI32(0));
  return V128.splatI32(0).replaceI32(0, one.shrU(3).or(one.and(7).shl(16)));
});

/** Eight sums of four absolute differences, between a sliding block of a and a fixed block of b: SSE4.1. */
const mpsadbw: VectorOp = {
  op: 'mpsadbw',
  a: 'rw',
  forms: XMM,
  emit: (e) => {
    const { f } = e;
    const imm = f.let(e.imm32());
    const from = V128.splatI8(imm.and(4)).simd(SIMD.addI8, iota());
    const a = f.let(e.vector('a').simd(SIMD.swizzle, from));
    const block = V128.splatI8(imm.and(3).shl(2)).simd(
      SIMD.addI8,
      bytes((i) => i & 3),
    );
    const b = f.let(e.vector('b').simd(SIMD.swizzle, block));
    const step = (k: number) => {
      const place = Array.from({ length: 16 }, (_, i) => (i < 8 ? i + k : k));
      const same = Array.from({ length: 16 }, () => k);
      return difference(f.let(a.shuffle(a, place)), f.let(b.shuffle(b, same))).simd(SIMD.extendLowI8U);
    };
    const low = step(0).simd(SIMD.addI16, step(1));
    e.setVector('a', low.simd(SIMD.addI16, step(2)).simd(SIMD.addI16, step(3)));
  },
};

/** ZF: no bit of b is set in a. CF: every bit of b is. */
const ptest: VectorOp = {
  op: 'ptest',
  a: 'r',
  forms: XMM,
  emit: (e) => {
    const a = e.f.let(e.vector('a'));
    const b = e.f.let(e.vector('b'));
    const zf = a.and(b).simdI32(SIMD.anyTrue).eqz();
    const cf = b.andnot(a).simdI32(SIMD.anyTrue).eqz();
    e.flags.load(zf.shl(6).or(cf));
  },
};

/** Integer arithmetic, comparison and logic of MMX, SSE2, SSSE3 and SSE4. */
export const VECTOR_INTEGER: readonly VectorOp[] = [
  ...DIRECT.map(([op, simd]) => direct(op, XMM_MMX, simd)),
  ...DIRECT_XMM.map(([op, simd]) => direct(op, XMM, simd)),
  ...(['pand', 'andps', 'andpd'] as const).map((op) => binary(op, logicForms(op), (a, b) => a.and(b))),
  ...(['pandn', 'andnps', 'andnpd'] as const).map((op) => binary(op, logicForms(op), (a, b) => b.andnot(a))),
  ...(['por', 'orps', 'orpd'] as const).map((op) => binary(op, logicForms(op), (a, b) => a.or(b))),
  ...(['pxor', 'xorps', 'xorpd'] as const).map((op) => binary(op, logicForms(op), (a, b) => a.xor(b))),
  multiplyHigh('pmulhw', SIMD.extmulLowI16S, SIMD.extmulHighI16S),
  multiplyHigh('pmulhuw', SIMD.extmulLowI16U, SIMD.extmulHighI16U),
  multiplyEven('pmuludq', SIMD.extmulLowI32U, XMM_MMX),
  multiplyEven('pmuldq', SIMD.extmulLowI32S, XMM),
  horizontal('phaddw', 2, SIMD.addI16),
  horizontal('phaddd', 4, SIMD.addI32),
  horizontal('phaddsw', 2, SIMD.addSatI16S),
  horizontal('phsubw', 2, SIMD.subI16),
  horizontal('phsubd', 4, SIMD.subI32),
  horizontal('phsubsw', 2, SIMD.subSatI16S),
  sign('psignb', SIMD.eqI8, SIMD.gtI8, SIMD.subI8),
  sign('psignw', SIMD.eqI16, SIMD.gtI16, SIMD.subI16),
  sign('psignd', SIMD.eqI32, SIMD.gtI32, SIMD.subI32),
  unary('pabsb', XMM_MMX, (b) => b.simd(SIMD.absI8)),
  unary('pabsw', XMM_MMX, (b) => b.simd(SIMD.absI16)),
  unary('pabsd', XMM_MMX, (b) => b.simd(SIMD.absI32)),
  pmaddubsw,
  pmulhrsw,
  psadbw,
  phminposuw,
  mpsadbw,
  ptest,
];

function logicForms(op: OpName): VectorOp['forms'] {
  return op.startsWith('p') ? XMM_MMX : XMM;
}

function eight(): I32 {
  return I32.const(8);
}
