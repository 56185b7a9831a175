/**
 * What float semantics check before they let WebAssembly's arithmetic, which knows neither flags nor modes, do the work:
 * MXCSR asks for nothing special, no operand is denormal, infinite or a NaN, the result is neither too large nor too
 * small. Then the result is exactly x86's and the only flag that could rise, precision, is up already.
 *
 * Scalar instructions compute on whole vectors too and look at lane 0 only: that needs no moves between register files.
 */
import { CPU } from '../state.ts';
import { I32, V128 } from '../wasm/expr.ts';
import { SIMD } from '../wasm/simd.ts';
import type { VectorEmit } from './vector-op.ts';

/** MXCSR's flags, modes and masks. */
export const MXCSR = {
  invalid: 0x01,
  denormal: 0x02,
  divideByZero: 0x04,
  overflow: 0x08,
  underflow: 0x10,
  precisionFlag: 0x20,
  denormalsAreZero: 0x40,
  masks: 0x1f80,
  precisionMask: 0x1000,
  rounding: 0x6000,
  roundingShift: 13,
  flushToZero: 0x8000,
} as const;

/** The element type of a vector and the instructions for it. */
export interface Lanes {
  readonly bytes: 4 | 8;
  readonly add: number;
  readonly sub: number;
  readonly mul: number;
  readonly div: number;
  readonly sqrt: number;
  readonly abs: number;
  readonly eq: number;
  readonly ne: number;
  readonly lt: number;
  readonly le: number;
  readonly ge: number;
  readonly allTrue: number;
  /** One bit for the sign of each lane. */
  readonly bitmask: number;
  /** Addition and subtraction of the lanes as integers. */
  readonly addInteger: number;
  readonly subInteger: number;
  /** The smallest and largest normal number. */
  readonly smallest: number;
  readonly largest: number;
  /** Rounding to integers by ROUND. */
  readonly round: readonly number[];
}

export const F32_LANES: Lanes = {
  bytes: 4,
  add: SIMD.addF32,
  sub: SIMD.subF32,
  mul: SIMD.mulF32,
  div: SIMD.divF32,
  sqrt: SIMD.sqrtF32,
  abs: SIMD.absF32,
  eq: SIMD.eqF32,
  ne: SIMD.neF32,
  lt: SIMD.ltF32,
  le: SIMD.leF32,
  ge: SIMD.geF32,
  allTrue: SIMD.allTrueI32,
  bitmask: SIMD.bitmaskI32,
  addInteger: SIMD.addI32,
  subInteger: SIMD.subI32,
  smallest: 2 ** -126,
  largest: (2 - 2 ** -23) * 2 ** 127,
  round: [SIMD.nearestF32, SIMD.floorF32, SIMD.ceilF32, SIMD.truncF32],
};

export const F64_LANES: Lanes = {
  bytes: 8,
  add: SIMD.addF64,
  sub: SIMD.subF64,
  mul: SIMD.mulF64,
  div: SIMD.divF64,
  sqrt: SIMD.sqrtF64,
  abs: SIMD.absF64,
  eq: SIMD.eqF64,
  ne: SIMD.neF64,
  lt: SIMD.ltF64,
  le: SIMD.leF64,
  ge: SIMD.geF64,
  allTrue: SIMD.allTrueI64,
  bitmask: SIMD.bitmaskI64,
  addInteger: SIMD.addI64,
  subInteger: SIMD.subI64,
  smallest: 2 ** -1022,
  largest: Number.MAX_VALUE,
  round: [SIMD.nearestF64, SIMD.floorF64, SIMD.ceilF64, SIMD.truncF64],
};

/** A constant with the same number in every lane. */
export function splatFloat(lanes: Lanes, value: number): V128 {
  const array = lanes.bytes === 4 ? new Float32Array(4).fill(value) : new Float64Array(2).fill(value);
  return V128.const([...new Uint8Array(array.buffer)]);
}

/** Whether arithmetic may run in WebAssembly: masked, to nearest, nothing flushed, precision already flagged. */
export function plainMode(e: VectorEmit): I32 {
  if (e.floats.plain) return I32.const(1);
  const { masks, rounding, flushToZero, denormalsAreZero, precisionFlag } = MXCSR;
  const watched = masks | rounding | flushToZero | denormalsAreZero | precisionFlag;
  return e.f
    .load32(e.cpu, CPU.mxcsr)
    .and(watched)
    .eq(masks | precisionFlag);
}

/** Lanes that are no NaN and not denormal. `x` is a local. */
export function ordinary(lanes: Lanes, x: V128): V128 {
  const normal = x.simd(lanes.abs).simd(lanes.ge, splatFloat(lanes, lanes.smallest));
  return normal.or(x.simd(lanes.eq, splatFloat(lanes, 0)));
}

/** Lanes that are neither infinite nor NaN. */
export function finite(lanes: Lanes, x: V128): V128 {
  return x.simd(lanes.abs).simd(lanes.le, splatFloat(lanes, lanes.largest));
}

/** Lanes that are zero or normal. */
export const usable = (lanes: Lanes, x: V128): V128 => ordinary(lanes, x).and(finite(lanes, x));

/** Lanes that are so large that nothing was lost at the lower end: even the smallest normal can be a tiny result rounded. */
export const notTiny = (lanes: Lanes, x: V128): V128 =>
  x.simd(lanes.abs).simd(lanes.ge, splatFloat(lanes, 2 * lanes.smallest));

export const isNan = (lanes: Lanes, x: V128): V128 => x.simd(lanes.ne, x);

/** `smallest`: the smallest normal number in all lanes. */
export const isDenormal = (lanes: Lanes, x: V128, smallest = splatFloat(lanes, lanes.smallest)): V128 =>
  x
    .simd(lanes.abs)
    .simd(lanes.lt, smallest)
    .and(x.simd(lanes.ne, splatFloat(lanes, 0)));

export const isZero = (lanes: Lanes, x: V128): V128 => x.simd(lanes.eq, splatFloat(lanes, 0));

/** Whether a mask holds in all lanes, or in lane 0. */
export const holds = (lanes: Lanes, mask: V128, scalar: boolean): I32 =>
  scalar ? mask.extractI32(0).and(1) : mask.simdI32(lanes.allTrue);
