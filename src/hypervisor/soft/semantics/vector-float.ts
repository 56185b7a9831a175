/** Float arithmetic and comparison of SSE to SSE4.1; see float-lanes.ts for how it stays exact. */
import type { OpName } from '../decode/opcodes.ts';
import { exactCode } from '../fpu/exact-code.ts';
import { ROUND } from '../fpu/ieee.ts';
import { CPU } from '../state.ts';
import { I32, select, V128 } from '../wasm/expr.ts';
import {
  F32_LANES,
  F64_LANES,
  finite,
  holds,
  isZero,
  type Lanes,
  MXCSR,
  notTiny,
  ordinary,
  plainMode,
  usable,
} from './float-lanes.ts';
import { bitselect, lanes as shuffleLanes, type VectorEmit, type VectorOp, XMM } from './vector-op.ts';

/** An instruction for one element type, on all lanes or on lane 0. */
interface Shape {
  readonly lanes: Lanes;
  readonly scalar: boolean;
}

const PS: Shape = { lanes: F32_LANES, scalar: false };
const PD: Shape = { lanes: F64_LANES, scalar: false };
const SS: Shape = { lanes: F32_LANES, scalar: true };
const SD: Shape = { lanes: F64_LANES, scalar: true };

/** The result of an instruction: all of it, or lane 0 of it over the rest of a. */
export function setResult(e: VectorEmit, shape: Shape, result: V128): void {
  if (!shape.scalar) e.setVector('a', result);
  else if (shape.lanes.bytes === 4) e.setVector('a', result.shuffle(e.vector('a'), shuffleLanes(4, [0, 5, 6, 7])));
  else e.setVector('a', result.shuffle(e.vector('a'), shuffleLanes(8, [0, 3])));
}

/** Checks of operands x and y and result r, all locals: a mask of lanes that are right. */
type Check = (lanes: Lanes, x: V128, y: V128, r: V128) => V128;

const sumIsExact: Check = (l, x, y, r) => usable(l, x).and(usable(l, y)).and(finite(l, r));
const productIsExact: Check = (l, x, y, r) =>
  sumIsExact(l, x, y, r).and(notTiny(l, r).or(isZero(l, x)).or(isZero(l, y)));
const quotientIsExact: Check = (l, x, y, r) => sumIsExact(l, x, y, r).and(notTiny(l, r).or(isZero(l, x)));

/** r = compute(x, y), where x and y are arranged from a and b. */
function arithmetic(
  op: OpName,
  shape: Shape,
  simd: number,
  check: Check,
  arrange: (a: V128, b: V128) => readonly [V128, V128] = (a, b) => [a, b],
): VectorOp {
  const emit = (e: VectorEmit) => {
    const [first, second] = arrange(e.f.let(e.vector('a')), e.f.let(e.vector('b')));
    const x = e.f.let(first);
    const y = e.f.let(second);
    const r = e.f.let(x.simd(simd, y));
    const ok = plainMode(e).and(holds(shape.lanes, check(shape.lanes, x, y, r), shape.scalar));
    e.f.if(
      ok,
      () => setResult(e, shape, r),
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: 'rw', forms: XMM, emit };
}

function squareRoot(op: OpName, shape: Shape): VectorOp {
  const emit = (e: VectorEmit) => {
    const b = e.f.let(e.vector('b'));
    const r = e.f.let(b.simd(shape.lanes.sqrt));
    const right = usable(shape.lanes, b).and(finite(shape.lanes, r));
    e.f.if(
      plainMode(e).and(holds(shape.lanes, right, shape.scalar)),
      () => setResult(e, shape, r),
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: shape.scalar ? 'rw' : 'w', forms: XMM, emit };
}

/** min and max give b where the operands are equal; they raise nothing for ordinary operands, whatever MXCSR says. */
function extremum(op: OpName, shape: Shape, isMax: boolean): VectorOp {
  const emit = (e: VectorEmit) => {
    const a = e.f.let(e.vector('a'));
    const b = e.f.let(e.vector('b'));
    const { lanes } = shape;
    const takeA = isMax ? b.simd(lanes.lt, a) : a.simd(lanes.lt, b);
    e.f.if(
      holds(lanes, ordinary(lanes, a).and(ordinary(lanes, b)), shape.scalar),
      () => setResult(e, shape, bitselect(a, b, takeA)),
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: 'rw', forms: XMM, emit };
}

/** All ones if bit `k` of `table` is set. */
const bitOf = (table: number, k: I32): I32 => I32.const(0).sub(I32.const(table).shrU(k).and(1));

/** cmpps and its kin: predicate 0 eq, 1 lt, 2 le, 3 unordered, and 4 to 7 their opposites. */
function compare(op: OpName, shape: Shape): VectorOp {
  const emit = (e: VectorEmit) => {
    const a = e.f.let(e.vector('a'));
    const b = e.f.let(e.vector('b'));
    const predicate = e.f.let(e.imm32().and(7));
    const { lanes } = shape;
    const kind = () => predicate.and(3);
    const eq = a.simd(lanes.eq, b).and(V128.splatI32(bitOf(0b0101, kind())));
    const lt = a.simd(lanes.lt, b).and(V128.splatI32(bitOf(0b0110, kind())));
    const inverted = V128.splatI32(I32.const(0).sub(predicate.shrU(2)));
    e.f.if(
      holds(lanes, ordinary(lanes, a).and(ordinary(lanes, b)), shape.scalar),
      () => setResult(e, shape, eq.or(lt).xor(inverted)),
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: 'rw', forms: XMM, emit };
}

/** comiss and its kin: ZF for equal, CF for less. */
function compareToFlags(op: OpName, lanes: Lanes): VectorOp {
  const emit = (e: VectorEmit) => {
    const a = e.f.let(e.vector('a'));
    const b = e.f.let(e.vector('b'));
    const eq = a
      .simd(lanes.eq, b)
      .extractI32(0)
      .and(1 << 6);
    const lt = a.simd(lanes.lt, b).extractI32(0).and(1);
    e.f.if(
      holds(lanes, ordinary(lanes, a).and(ordinary(lanes, b)), true),
      () => e.flags.load(eq.or(lt)),
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: 'r', forms: XMM, emit };
}

/** Immediate of roundps and its kin: bits 0-1 the rounding mode, bit 2 take MXCSR's instead, bit 3 do not flag precision. */
function roundToInteger(op: OpName, shape: Shape): VectorOp {
  const emit = (e: VectorEmit) => {
    const { f } = e;
    const b = f.let(e.vector('b'));
    const imm = f.let(e.imm32());
    const mxcsr = f.let(f.load32(e.cpu, CPU.mxcsr));
    const flagged = MXCSR.precisionMask | MXCSR.precisionFlag;
    const quiet = imm.and(8).or(mxcsr.and(flagged).eq(flagged)).ne(0);
    const mode = f.let(select(imm.and(4), mxcsr.shrU(MXCSR.roundingShift), imm).and(3));
    const r = f.local('v128');
    const cases = shape.lanes.round.map((simd) => () => f.set(r, b.simd(simd)));
    f.if(
      quiet.and(holds(shape.lanes, ordinary(shape.lanes, b), shape.scalar)),
      () => {
        f.switch(mode, cases.slice(0, ROUND.zero), cases[ROUND.zero]!);
        setResult(e, shape, r);
      },
      () => e.exact(exactCode(op)),
    );
  };
  return { op, a: shape.scalar ? 'rw' : 'w', forms: XMM, emit };
}

/** Instructions that are rare enough to be left to TypeScript altogether. */
const outside = (op: OpName, a: VectorOp['a'] = 'w'): VectorOp => ({
  op,
  a,
  forms: XMM,
  emit: (e) => e.exact(exactCode(op)),
});

/** Neighbours of a, then of b. */
const neighbours = (width: 4 | 8) => {
  const elements = (odd: number) => Array.from({ length: 16 / width }, (_, i) => 2 * i + odd);
  return (a: V128, b: V128) =>
    [a.shuffle(b, shuffleLanes(width, elements(0))), a.shuffle(b, shuffleLanes(width, elements(1)))] as const;
};

/** b with the sign of its even lanes inverted. */
const alternating = (lanes: Lanes) => {
  const signs = [...new Uint8Array(16)].map((_, i) => (i % (2 * lanes.bytes) === lanes.bytes - 1 ? 0x80 : 0));
  return (a: V128, b: V128) => [a, b.xor(V128.const(signs))] as const;
};

const SUFFIXES = [
  ['ps', PS],
  ['pd', PD],
  ['ss', SS],
  ['sd', SD],
] as const;

/** Float arithmetic, comparison and rounding. */
export const VECTOR_FLOAT: readonly VectorOp[] = [
  ...SUFFIXES.flatMap(([suffix, shape]) => [
    arithmetic(`add${suffix}`, shape, shape.lanes.add, sumIsExact),
    arithmetic(`sub${suffix}`, shape, shape.lanes.sub, sumIsExact),
    arithmetic(`mul${suffix}`, shape, shape.lanes.mul, productIsExact),
    arithmetic(`div${suffix}`, shape, shape.lanes.div, quotientIsExact),
    squareRoot(`sqrt${suffix}`, shape),
    extremum(`min${suffix}`, shape, false),
    extremum(`max${suffix}`, shape, true),
    compare(`cmp${suffix}`, shape),
    roundToInteger(`round${suffix}`, shape),
  ]),
  arithmetic('haddps', PS, F32_LANES.add, sumIsExact, neighbours(4)),
  arithmetic('haddpd', PD, F64_LANES.add, sumIsExact, neighbours(8)),
  arithmetic('hsubps', PS, F32_LANES.sub, sumIsExact, neighbours(4)),
  arithmetic('hsubpd', PD, F64_LANES.sub, sumIsExact, neighbours(8)),
  arithmetic('addsubps', PS, F32_LANES.add, sumIsExact, alternating(F32_LANES)),
  arithmetic('addsubpd', PD, F64_LANES.add, sumIsExact, alternating(F64_LANES)),
  compareToFlags('comiss', F32_LANES),
  compareToFlags('comisd', F64_LANES),
  compareToFlags('ucomiss', F32_LANES),
  compareToFlags('ucomisd', F64_LANES),
  outside('dpps', 'rw'),
  outside('dppd', 'rw'),
  outside('rcpps'),
  outside('rcpss', 'rw'),
  outside('rsqrtps'),
  outside('rsqrtss', 'rw'),
];
