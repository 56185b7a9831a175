/** Conversions between floats and integers of SSE and SSE2; see float-lanes.ts for how they stay exact. */
import type { OpName } from '../decode/opcodes.ts';
import { exactCode } from '../fpu/exact-code.ts';
import type { I32, V128 } from '../wasm/expr.ts';
import { SIMD } from '../wasm/simd.ts';
import type { Size } from './flags.ts';
import {
  F32_LANES,
  F64_LANES,
  finite,
  holds,
  isZero,
  type Lanes,
  notTiny,
  ordinary,
  plainMode,
  splatFloat,
  usable,
} from './float-lanes.ts';
import { lanes as shuffleLanes, unary, type VectorEmit, type VectorForm, type VectorOp, XMM } from './vector-op.ts';

/** Which part of the result goes to a: all, the low 4 or 8 bytes over the rest of a. */
type Part = 16 | 8 | 4;

function setPart(e: VectorEmit, part: Part, result: V128): void {
  if (part === 16) e.setVector('a', result);
  else if (part === 8) e.setVector('a', result.shuffle(e.vector('a'), shuffleLanes(8, [0, 3])));
  else e.setVector('a', result.shuffle(e.vector('a'), shuffleLanes(4, [0, 5, 6, 7])));
}

/** Whether a mask of lanes holds in the first `count`. */
function first(lanes: Lanes, mask: V128, count: number): I32 {
  if (count === 1) return holds(lanes, mask, true);
  if (count * lanes.bytes === 16) return holds(lanes, mask, false);
  return mask.extractI64(0).eq(-1);
}

interface Conversion {
  readonly op: OpName;
  readonly forms?: VectorOp['forms'];
  readonly part?: Part;
  /** The result; b is a local. */
  readonly convert: (b: V128) => V128;
  /** Whether the result is exact; b and the result r are locals. */
  readonly check: (e: VectorEmit, b: V128, r: V128) => I32;
}

function conversion({ op, forms = XMM, part = 16, convert, check }: Conversion): VectorOp {
  const emit = (e: VectorEmit) => {
    const b = e.f.let(e.vector('b'));
    const r = e.f.let(convert(b));
    e.f.if(
      check(e, b, r),
      () => setPart(e, part, r),
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: part === 16 ? 'w' : 'rw', forms, emit };
}

/** Widening floats is exact in every mode. */
const widen = (op: OpName, count: 1 | 2): VectorOp =>
  conversion({
    op,
    part: count === 1 ? 8 : 16,
    convert: (b) => b.simd(SIMD.promoteF32),
    check: (_e, b) => first(F32_LANES, ordinary(F32_LANES, b), count),
  });

/** Narrowing floats. The checks of the result are in its own lanes, so the mask of the operand's is narrowed too. */
const narrow = (op: OpName, count: 1 | 2): VectorOp =>
  conversion({
    op,
    part: count === 1 ? 4 : 16,
    convert: (b) => b.simd(SIMD.demoteF64),
    check: (e, b, r) => {
      const operand = usable(F64_LANES, b);
      const result = finite(F32_LANES, r).and(notTiny(F32_LANES, r).or(isZeroNarrowed(b)));
      return plainMode(e)
        .and(first(F64_LANES, operand, count))
        .and(first(F32_LANES, result, count));
    },
  });

/** Lanes of binary32 whose operand was zero. */
const isZeroNarrowed = (b: V128): V128 => {
  const mask = isZero(F64_LANES, b);
  return mask.shuffle(mask, shuffleLanes(4, [0, 2]));
};

/** The largest magnitude that surely fits, as a bound that is not reached: -2^31 and -2^63 go the exact way. */
const limit = (bytes: number) => 2 ** (8 * bytes - 1);

const fits = (lanes: Lanes, rounded: V128, bytes: number): V128 =>
  rounded.simd(lanes.abs).simd(lanes.lt, splatFloat(lanes, limit(bytes)));

/** Lanes that were integers before they were rounded: nothing is flagged for them in any mode. */
const isInteger = (lanes: Lanes, b: V128, rounded: V128): V128 => b.simd(lanes.eq, rounded);

/** Packed floats to 32-bit integers, rounded to nearest or truncated. */
function toIntegers(op: OpName, lanes: Lanes, count: 2 | 4, truncate: boolean, toMmx = false): VectorOp {
  const round = (b: V128) => b.simd(lanes.round[truncate ? 3 : 0]!);
  const saturate = lanes.bytes === 4 ? SIMD.truncSatF32 : SIMD.truncSatF64;
  return conversion({
    op,
    forms: toMmx ? ['mx'] : XMM,
    convert: (b) => round(b).simd(saturate),
    check: (e, b) => {
      const rounded = e.f.let(round(b));
      const harmless = plainMode(e).or(first(lanes, isInteger(lanes, b, rounded), count));
      return harmless.and(first(lanes, fits(lanes, rounded, 4), count));
    },
  });
}

/** A float to a general register of 4 or 8 bytes, rounded to nearest or truncated. */
function toGeneral(op: OpName, lanes: Lanes, truncate: boolean): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const size = form.sizeA === 8 ? 8 : 4;
    const b = e.f.let(e.vector('b'));
    const r = e.f.let(b.simd(lanes.round[truncate ? 3 : 0]!));
    const scalar = lanes.bytes === 4 ? r.extractF32(0) : r.extractF64(0);
    const value = size === 8 ? scalar.toI64Sat() : scalar.toI32Sat().toI64();
    e.f.if(
      plainMode(e)
        .or(holds(lanes, isInteger(lanes, b, r), true))
        .and(holds(lanes, fits(lanes, r, size), true)),
      () => e.set('a', size as Size, value),
      () => e.exact(exactCode(op, size)),
    );
  };
  return { op, a: 'w', forms: ['gx'], emit };
}

/** A general register of 4 or 8 bytes to a float in lane 0. */
function fromGeneral(op: OpName, lanes: Lanes): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const size = form.sizeB === 8 ? 8 : 4;
    const value = e.f.let(e.getSigned('b', size));
    const convert = () => {
      const a = e.vector('a');
      e.setVector('a', lanes.bytes === 4 ? a.replaceF32(0, value.toF32S()) : a.replaceF64(0, value.toF64S()));
    };
    if (lanes.bytes === 8 && size === 4) convert();
    else e.f.if(plainMode(e), convert, () => e.exact(exactCode(op, size)));
  };
  return { op, a: 'rw', forms: ['xg'], emit };
}

const plain = (e: VectorEmit): I32 => plainMode(e);

/** Conversions. */
export const VECTOR_CONVERT: readonly VectorOp[] = [
  widen('cvtps2pd', 2),
  widen('cvtss2sd', 1),
  narrow('cvtpd2ps', 2),
  narrow('cvtsd2ss', 1),
  conversion({ op: 'cvtdq2ps', convert: (b) => b.simd(SIMD.convertI32ToF32), check: plain }),
  conversion({ op: 'cvtpi2ps', forms: ['xm'], part: 8, convert: (b) => b.simd(SIMD.convertI32ToF32), check: plain }),
  unary('cvtdq2pd', XMM, (b) => b.simd(SIMD.convertLowI32ToF64)),
  unary('cvtpi2pd', ['xm'], (b) => b.simd(SIMD.convertLowI32ToF64)),
  toIntegers('cvtps2dq', F32_LANES, 4, false),
  toIntegers('cvttps2dq', F32_LANES, 4, true),
  toIntegers('cvtpd2dq', F64_LANES, 2, false),
  toIntegers('cvttpd2dq', F64_LANES, 2, true),
  toIntegers('cvtps2pi', F32_LANES, 2, false, true),
  toIntegers('cvttps2pi', F32_LANES, 2, true, true),
  toIntegers('cvtpd2pi', F64_LANES, 2, false, true),
  toIntegers('cvttpd2pi', F64_LANES, 2, true, true),
  toGeneral('cvtss2si', F32_LANES, false),
  toGeneral('cvttss2si', F32_LANES, true),
  toGeneral('cvtsd2si', F64_LANES, false),
  toGeneral('cvttsd2si', F64_LANES, true),
  fromGeneral('cvtsi2ss', F32_LANES),
  fromGeneral('cvtsi2sd', F64_LANES),
];
