/**
 * The string comparisons of SSE4.2 (Intel SDM vol. 2, 4.1). The immediate says what is compared how, so each has its own
 * code. Comparisons give one bit for each element of b, in an i32; lengths are kept as masks of the elements that count.
 */
import type { OpName } from '../decode/opcodes.ts';
import { SLOT } from '../state.ts';
import { I32, select, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';
import { SIMD } from '../wasm/simd.ts';
import { bytes, lanes, type VectorEmit, type VectorForm, type VectorOp, words, XMM, zero } from './vector-op.ts';

/** The fields of the immediate. */
const WORDS = 1;
const SIGNED = 2;
const AGGREGATIONS = ['any', 'ranges', 'each', 'ordered'] as const;
const NEGATIVE = 0x10;
/** Inverts only the bits of elements that count. */
const MASKED = 0x20;
/** The last index instead of the first; a mask of elements instead of bits. */
const OUTPUT = 0x40;

const aggregationOf = (imm: number) => AGGREGATIONS[(imm >> 2) & 3]!;

/** The least immediate that means the same. */
export function stringCompareImmediate(imm: number): number {
  let same = imm & 0x7f;
  if (aggregationOf(same) !== 'ranges') same &= ~SIGNED;
  if ((same & NEGATIVE) === 0) same &= ~MASKED;
  return same;
}

/** What an element is: instructions of WebAssembly for vectors of them. */
interface Elements {
  /** In a vector. */
  readonly count: number;
  readonly eq: number;
  readonly bitmask: number;
  /** a <= b. */
  readonly le: number;
  /** For i8x16.swizzle: the places of the first element's bytes, in every element. */
  readonly first: V128;
}

function elementsOf(imm: number): Elements {
  const signed = (imm & SIGNED) !== 0;
  if ((imm & WORDS) === 0) {
    const le = signed ? SIMD.leI8S : SIMD.leI8U;
    return { count: 16, eq: SIMD.eqI8, bitmask: SIMD.bitmaskI8, le, first: zero() };
  }
  const le = signed ? SIMD.leI16S : SIMD.leI16U;
  return { count: 8, eq: SIMD.eqI16, bitmask: SIMD.bitmaskI16, le, first: bytes((i) => i & 1) };
}

/** A string: its elements, and a bit for each that counts. */
interface Text {
  readonly vector: Local<'v128'>;
  readonly valid: Local<'i32'>;
}

/** A bit for every element. */
const all = ({ count }: Elements): number => (1 << count) - 1;

/** How many elements count. */
const lengthOf = ({ valid }: Text): I32 => valid.xor(-1).ctz();

/** The elements before the first zero. */
function implicitLength(f: FunctionBuilder, vector: V128, elements: Elements): I32 {
  const end = f.let(
    vector
      .simd(elements.eq, zero())
      .simdI32(elements.bitmask)
      .or(1 << elements.count),
  );
  return end.sub(1).and(end.xor(-1));
}

/** As many elements as the magnitude of a register says, at most all. */
function explicitLength(e: VectorEmit, slot: number, wide: boolean, elements: Elements): I32 {
  const { f } = e;
  const value = f.let(wide ? e.getSlot(slot, 8) : e.getSlot(slot, 4).extend32S());
  const sign = f.let(value.shrS(63));
  const magnitude = f.let(value.xor(sign).sub(sign));
  const some = I32.const(1).shl(magnitude.wrap()).sub(1);
  return select(magnitude.ltU(elements.count), some, I32.const(all(elements)));
}

/**
 * Emits `body` for the places of the first element, the second, and so on, `times` times in all; `step` elements lie
 * between them.
 */
function forPlaces(
  f: FunctionBuilder,
  elements: Elements,
  times: Local<'i32'>,
  step: number,
  body: (places: Local<'v128'>) => void,
): void {
  const places = f.variable(elements.first) as Local<'v128'>;
  const distance = bytes(() => (step * 16) / elements.count);
  f.if(times, () =>
    f.loop((again) => {
      body(places);
      f.set(places, places.simd(SIMD.addI8, distance));
      f.set(times, times.sub(1));
      f.brIf(again, times);
    }),
  );
}

/** Elements of b that are in a. */
function equalAny(f: FunctionBuilder, elements: Elements, a: Text, b: Text): I32 {
  const found = f.variable(zero());
  const times = f.let(lengthOf(a)) as Local<'i32'>;
  forPlaces(f, elements, times, 1, (places) => {
    f.set(found, found.or(b.vector.simd(elements.eq, a.vector.simd(SIMD.swizzle, places))));
  });
  return found.simdI32(elements.bitmask).and(b.valid);
}

/** Elements of b that are between two neighbours in a. */
function inRanges(f: FunctionBuilder, elements: Elements, a: Text, b: Text): I32 {
  const found = f.variable(zero());
  const times = f.let(lengthOf(a).shrU(1)) as Local<'i32'>;
  const upwards = Array.from({ length: 16 }, (_, i) => i + 16 / elements.count);
  // The upper end of the range whose lower end is in the same place.
  const upper = f.let(a.vector.shuffle(zero(), upwards));
  forPlaces(f, elements, times, 2, (places) => {
    const notBelow = a.vector.simd(SIMD.swizzle, places).simd(elements.le, b.vector);
    const notAbove = b.vector.simd(elements.le, upper.simd(SIMD.swizzle, places));
    f.set(found, found.or(notBelow.and(notAbove)));
  });
  return found.simdI32(elements.bitmask).and(b.valid);
}

/** Elements that are equal; both beyond their ends are, one beyond is not. */
function equalEach(elements: Elements, a: Text, b: Text): I32 {
  const equal = a.vector.simd(elements.eq, b.vector).simdI32(elements.bitmask);
  return equal.and(a.valid.and(b.valid)).or(a.valid.or(b.valid).xor(all(elements)));
}

/** Where in b the whole of a stands, or its beginning at the end of the vector. */
function equalOrdered(f: FunctionBuilder, elements: Elements, a: Text, b: Text): I32 {
  const found = f.variable(I32.const(-1));
  const length = f.let(lengthOf(a)) as Local<'i32'>;
  const times = f.let(length) as Local<'i32'>;
  forPlaces(f, elements, times, 1, (places) => {
    const equal = b.vector.simd(elements.eq, a.vector.simd(SIMD.swizzle, places)).simdI32(elements.bitmask);
    // What is beyond the vector can still become equal.
    const open = equal.and(b.valid).or(~all(elements));
    f.set(found, found.and(open.shrS(length.sub(times))));
  });
  return found.and(all(elements));
}

function compare(f: FunctionBuilder, imm: number, elements: Elements, a: Text, b: Text): I32 {
  switch (aggregationOf(imm)) {
    case 'any':
      return equalAny(f, elements, a, b);
    case 'ranges':
      return inRanges(f, elements, a, b);
    case 'each':
      return equalEach(elements, a, b);
    case 'ordered':
      return equalOrdered(f, elements, a, b);
  }
}

function withPolarity(result: I32, imm: number, elements: Elements, b: Text): I32 {
  if ((imm & NEGATIVE) === 0) return result;
  return result.xor((imm & MASKED) === 0 ? all(elements) : b.valid);
}

/** The index of the first or last match, or the number of elements. */
function indexOf(result: I32, imm: number, { count }: Elements): I32 {
  if ((imm & OUTPUT) === 0) return result.or(1 << count).ctz();
  return select(result, I32.const(31).sub(result.clz()), I32.const(count));
}

/** The matches as bits, or as elements that are all ones. */
function maskOf(f: FunctionBuilder, result: I32, imm: number): V128 {
  if ((imm & OUTPUT) === 0) return zero().replaceI32(0, result);
  const bits = f.let(V128.splatI16(result));
  if ((imm & WORDS) !== 0) {
    const bit = words((i) => 1 << i);
    return bits.and(bit).simd(SIMD.eqI16, bit);
  }
  const bit = bytes((i) => 1 << (i & 7));
  const spread = bits.shuffle(bits, lanes(1, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]));
  return spread.and(bit).simd(SIMD.eqI8, bit);
}

function emitCompare(e: VectorEmit, form: VectorForm, lengths: 'implicit' | 'explicit', output: 'index' | 'mask') {
  const { f } = e;
  const imm = form.imm!;
  const elements = elementsOf(imm);
  const text = (operand: 'a' | 'b', slot: number): Text => {
    const vector = f.let(e.vector(operand)) as Local<'v128'>;
    const valid =
      lengths === 'implicit'
        ? implicitLength(f, vector, elements)
        : explicitLength(e, slot, form.opSize === 8, elements);
    return { vector, valid: f.let(valid) as Local<'i32'> };
  };
  const a = text('a', SLOT.rax);
  const b = text('b', SLOT.rdx);
  const result = f.let(withPolarity(compare(f, imm, elements, a, b), imm, elements, b));
  if (output === 'index') e.setSlot(SLOT.rcx, 4, indexOf(result, imm, elements).toI64());
  else e.setVectorRegister(0, maskOf(f, result, imm));
  // CF: there is a match, OF: the first element is one; ZF: b ends in the vector, SF: a does. AF and PF are 0.
  const [cf, of] = [result.ne(0), result.and(1).shl(11)];
  const [zf, sf] = [b, a].map(({ valid }) => valid.ne(all(elements)));
  e.flags.load(cf.or(of).or(zf!.shl(6)).or(sf!.shl(7)));
}

function stringCompare(
  op: OpName,
  implicit: NonNullable<VectorOp['implicit']>,
  lengths: 'implicit' | 'explicit',
  output: 'index' | 'mask',
): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => emitCompare(e, form, lengths, output);
  return { op, a: 'r', forms: XMM, implicit, immediate: stringCompareImmediate, emit };
}

export const STRING_COMPARE: readonly VectorOp[] = [
  stringCompare('pcmpestri', ['rax', 'rdx', 'rcx'], 'explicit', 'index'),
  stringCompare('pcmpestrm', ['rax', 'rdx', 'xmm0'], 'explicit', 'mask'),
  stringCompare('pcmpistri', ['rcx'], 'implicit', 'index'),
  stringCompare('pcmpistrm', ['xmm0'], 'implicit', 'mask'),
];
