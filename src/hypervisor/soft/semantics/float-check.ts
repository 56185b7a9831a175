/**
 * Float arithmetic that computes first and looks at the numbers then, in few instructions: whether an operand is denormal
 * (unless that is known: float-facts.ts) and whether the result is of ordinary size. If something is unusual the result
 * is asked of float-rare.ts.
 */
import type { OpName } from '../decode/opcodes.ts';
import { exactCode } from '../fpu/exact-code.ts';
import type { I32, I32Like, V128 } from '../wasm/expr.ts';
import type { Label, Local } from '../wasm/function-builder.ts';
import { isDenormal, isNan, isZero, type Lanes, plainMode } from './float-lanes.ts';
import { RARE, RARE_RESULT, type RareKind } from './float-rare.ts';
import type { VectorEmit } from './vector-op.ts';

/** An instruction for one element type, on all lanes or on lane 0. */
export interface Shape {
  readonly lanes: Lanes;
  readonly scalar: boolean;
}

/** A bit for each lane that counts. */
export const activeLanes = ({ lanes, scalar }: Shape): number => (scalar ? 1 : (1 << (16 / lanes.bytes)) - 1);

/** An operand, and whether it is known that it is not denormal. */
export interface Checked {
  readonly value: Local<'v128'>;
  readonly normal: boolean;
}

export type ArithmeticKind = Exclude<RareKind, 'compare' | 'compareOrdered'>;

interface Arithmetic {
  readonly op: OpName;
  readonly shape: Shape;
  readonly kind: ArithmeticKind;
  readonly x: Checked;
  readonly y: Checked;
  readonly result: Local<'v128'>;
}

/**
 * Makes sure of a result that WebAssembly has computed: the code behind has it as x86 does. Where that is more than the
 * rare functions do, the micro-operation ends here. Behind it no operand and no result is denormal, in compiled code.
 */
export function checkArithmetic(e: VectorEmit, a: Arithmetic): void {
  const { f } = e;
  f.block((done) => {
    f.block((rare) => {
      if (!e.floats.plain) f.brIf(rare, plainMode(e).eqz());
      if (a.shape.scalar) checkScalar(e, a, rare, done);
      else checkPacked(e, a, done);
    });
    askRare(e, a.op, a.shape, RARE[a.kind], a);
    f.set(a.result, f.load128(e.cpu, RARE_RESULT));
  });
  e.floats.plain = true;
}

function checkScalar(e: VectorEmit, { shape: { lanes }, kind, x, y, result }: Arithmetic, rare: Label, done: Label) {
  const { f } = e;
  for (const { value } of unknown(x, y)) f.brIf(rare, isDenormalScalar(lanes, value));
  f.brIf(done, isOrdinaryScalar(lanes, result));
  const zero = (v: V128) => isZeroScalar(lanes, v);
  if (kind === 'mul') f.brIf(done, zero(result).and(zero(x.value).or(zero(y.value))));
  else if (kind === 'div') f.brIf(done, zero(result).and(zero(x.value)));
  else f.brIf(done, zero(result));
}

function checkPacked(e: VectorEmit, { shape, kind, x, y, result }: Arithmetic, done: Label): void {
  const { f } = e;
  const { lanes } = shape;
  const smallest = e.floats.smallest(lanes);
  const operands = unknown(x, y);
  const ordinary = f.let(ordinaryLanes(lanes, result, smallest));
  const above = (v: V128) => smallest.simd(lanes.subInteger, v.simd(lanes.abs));
  const sound = operands.reduce((mask: V128, { value }) => mask.and(above(value)), ordinary);
  f.brIf(done, sound.simdI32(lanes.bitmask).eq(activeLanes(shape)));
  const zero = (v: V128) => isZero(lanes, v);
  let fine = zero(result);
  if (kind === 'mul') fine = fine.and(zero(x.value).or(zero(y.value)));
  if (kind === 'div') fine = fine.and(zero(x.value));
  const right = operands.reduce(
    (mask, { value }) => mask.andnot(isDenormal(lanes, value, smallest)),
    ordinary.or(fine),
  );
  f.brIf(done, right.simdI32(lanes.bitmask).eq(activeLanes(shape)));
}

/** Operands that have to be looked at, each once. */
function unknown(x: Checked, y: Checked): Checked[] {
  const operands = x.value.local === y.value.local ? [x] : [x, y];
  return operands.filter(({ normal }) => !normal);
}

interface Comparison {
  readonly op: OpName;
  readonly shape: Shape;
  /** 1 if quiet NaNs are invalid too. */
  readonly ordered: I32;
  readonly x: Checked;
  readonly y: Checked;
}

/**
 * Raises what a comparison of x and y raises (min and max are comparisons too), or ends the micro-operation. Behind it no
 * operand is denormal, in compiled code.
 */
export function checkComparison(e: VectorEmit, c: Comparison): void {
  const { f } = e;
  const { lanes, scalar } = c.shape;
  const [x, y] = [c.x.value, c.y.value];
  f.block((done) => {
    f.block((rare) => {
      if (scalar) {
        for (const { value } of unknown(c.x, c.y)) f.brIf(rare, isDenormalScalar(lanes, value));
        f.brIf(rare, isNanScalar(lanes, x));
        f.brIf(done, isNanScalar(lanes, y).eqz());
      } else {
        const nan = isNan(lanes, x).or(isNan(lanes, y));
        const wrong = unknown(c.x, c.y).reduce(
          (mask, { value }) => mask.or(isDenormal(lanes, value, e.floats.smallest(lanes))),
          nan,
        );
        f.brIf(done, wrong.simdI32(lanes.bitmask).eqz());
      }
    });
    askRare(e, c.op, c.shape, c.ordered.add(RARE.compare), c);
  });
}

function askRare(e: VectorEmit, op: OpName, shape: Shape, kind: I32Like, { x, y }: { x: Checked; y: Checked }): void {
  const left = e.rareFloat(shape.lanes.bytes, kind, activeLanes(shape), x.value, y.value);
  e.f.if(left, () => e.exactInstead(exactCode(op)));
}

// -- lane 0, by its bits: the float extracted, as engines copy that to a general register in one instruction

/** The exponent is 0, but the number is not. */
function isDenormalScalar(lanes: Lanes, v: V128): I32 {
  if (lanes.bytes === 4) return v.extractI32(0).shl(1).sub(1).shrU(24).eqz();
  return v.extractF64(0).bits().shl(1).sub(1).shrU(53).eqz();
}

/** Finite and at least twice the smallest normal number: the smallest can be a tiny number rounded. */
function isOrdinaryScalar(lanes: Lanes, v: V128): I32 {
  if (lanes.bytes === 4) return v.extractI32(0).shl(1).shrU(24).sub(2).ltU(0xfd);
  return v.extractF64(0).bits().shl(1).shrU(53).sub(2).ltU(0x7fd);
}

function isZeroScalar(lanes: Lanes, v: V128): I32 {
  return lanes.bytes === 4 ? v.extractI32(0).shl(1).eqz() : v.extractF64(0).bits().shl(1).eqz();
}

function isNanScalar(lanes: Lanes, v: V128): I32 {
  return lanes.bytes === 4 ? v.extractF32(0).ne(v.extractF32(0)) : v.extractF64(0).ne(v.extractF64(0));
}

/**
 * The sign is set in lanes that are finite and above the smallest normal number, which can be a tiny number rounded: as
 * integers, smallest - |v| is negative, and |v| + smallest, an exponent higher, is not.
 */
function ordinaryLanes(lanes: Lanes, v: V128, smallest: V128): V128 {
  const magnitude = v.simd(lanes.abs);
  return smallest.simd(lanes.subInteger, magnitude).andnot(magnitude.simd(lanes.addInteger, smallest));
}
