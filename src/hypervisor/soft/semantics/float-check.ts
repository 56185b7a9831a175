/**
 * Float arithmetic that computes first and looks at the numbers then, in few instructions: whether an operand is denormal
 * (unless that is known: float-facts.ts) and whether the result is of ordinary size. If something is unusual the result
 * is asked of float-rare.ts.
 */
import type { OpName } from '../decode/opcodes.ts';
import { exactCode } from '../fpu/exact-code.ts';
import type { I32, V128 } from '../wasm/expr.ts';
import type { Label, Local } from '../wasm/function-builder.ts';
import { isDenormal, isNan, isZero, type Lanes, plainMode, splatFloat } from './float-lanes.ts';
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
 * Makes sure of a result that WebAssembly has computed. `use` is emitted once, with the result as x86 has it, for when
 * the instruction was not handed to TypeScript. Then no operand and no result is denormal, in compiled code.
 */
export function checkArithmetic(e: VectorEmit, a: Arithmetic, use: () => void): void {
  const { f } = e;
  f.block((end) => {
    f.block((done) => {
      f.block((rare) => {
        if (!e.floats.plain) f.brIf(rare, plainMode(e).eqz());
        if (a.shape.scalar) checkScalar(e, a, rare, done);
        else checkPacked(e, a, done);
      });
      const { shape, kind, x, y } = a;
      f.if(e.rareFloat(shape.lanes.bytes, RARE[kind], activeLanes(shape), x.value, y.value), () => {
        e.exact(exactCode(a.op));
        f.br(end);
      });
      f.set(a.result, f.load128(e.cpu, RARE_RESULT));
    });
    use();
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

function checkPacked(e: VectorEmit, { shape: { lanes }, kind, x, y, result }: Arithmetic, done: Label): void {
  const { f } = e;
  const operands = unknown(x, y);
  const unusual = f.let(notOrdinary(lanes, result));
  const suspicious = operands.reduce((mask: V128, { value }) => mask.or(belowNormal(lanes, value)), unusual);
  f.brIf(done, suspicious.simdI32(lanes.bitmask).eqz());
  const zero = (v: V128) => isZero(lanes, v);
  let fine = zero(result);
  if (kind === 'mul') fine = fine.and(zero(x.value).or(zero(y.value)));
  if (kind === 'div') fine = fine.and(zero(x.value));
  const wrong = operands.reduce((mask, { value }) => mask.or(isDenormal(lanes, value)), unusual.andnot(fine));
  f.brIf(done, wrong.simdI32(lanes.bitmask).eqz());
}

/** Operands that have to be looked at, each once. */
function unknown(x: Checked, y: Checked): Checked[] {
  const operands = x.value.local === y.value.local ? [x] : [x, y];
  return operands.filter(({ normal }) => !normal);
}

/**
 * Raises what a comparison of x and y raises (min and max are comparisons too). `use` is emitted once, for when the
 * instruction was not handed to TypeScript. Then no operand is denormal, in compiled code.
 */
export function checkComparison(
  e: VectorEmit,
  { op, shape, ordered, x, y }: { op: OpName; shape: Shape; ordered: I32; x: Checked; y: Checked },
  use: () => void,
): void {
  const { f } = e;
  const { lanes } = shape;
  f.block((end) => {
    f.block((done) => {
      if (shape.scalar) {
        f.block((rare) => {
          for (const { value } of unknown(x, y)) f.brIf(rare, isDenormalScalar(lanes, value));
          f.brIf(done, isOrderedScalar(lanes, x.value, y.value));
        });
      } else {
        const nan = isNan(lanes, x.value).or(isNan(lanes, y.value));
        const wrong = unknown(x, y).reduce((mask, { value }) => mask.or(isDenormal(lanes, value)), nan);
        f.brIf(done, wrong.simdI32(lanes.bitmask).eqz());
      }
      const kind = ordered.add(RARE.compare);
      f.if(e.rareFloat(lanes.bytes, kind, activeLanes(shape), x.value, y.value), () => {
        e.exact(exactCode(op));
        f.br(end);
      });
    });
    use();
  });
}

// -- lane 0, by its bits

/** The exponent is 0, but the number is not. */
function isDenormalScalar(lanes: Lanes, v: V128): I32 {
  if (lanes.bytes === 4) return v.extractI32(0).shl(1).sub(1).shrU(24).eqz();
  return v.extractI64(0).shl(1).sub(1).shrU(53).eqz();
}

/** Finite and at least twice the smallest normal number: the smallest can be a tiny number rounded. */
function isOrdinaryScalar(lanes: Lanes, v: V128): I32 {
  if (lanes.bytes === 4) return v.extractI32(0).shl(1).shrU(24).sub(2).ltU(0xfd);
  return v.extractI64(0).shl(1).shrU(53).sub(2).ltU(0x7fd);
}

function isZeroScalar(lanes: Lanes, v: V128): I32 {
  return lanes.bytes === 4 ? v.extractI32(0).shl(1).eqz() : v.extractI64(0).shl(1).eqz();
}

function isOrderedScalar(lanes: Lanes, x: V128, y: V128): I32 {
  const each = (v: V128) =>
    lanes.bytes === 4 ? v.extractF32(0).eq(v.extractF32(0)) : v.extractF64(0).eq(v.extractF64(0));
  return each(x).and(each(y));
}

// -- all lanes: masks in their signs

/** Zero or denormal. */
const belowNormal = (lanes: Lanes, v: V128): V128 =>
  v.simd(lanes.abs).simd(lanes.subInteger, splatFloat(lanes, lanes.smallest));

/** Zero, denormal, hardly normal, infinite or no number. */
function notOrdinary(lanes: Lanes, v: V128): V128 {
  const magnitude = v.simd(lanes.abs);
  const small = magnitude.simd(lanes.subInteger, splatFloat(lanes, 2 * lanes.smallest));
  return small.or(splatFloat(lanes, lanes.largest).simd(lanes.subInteger, magnitude));
}
