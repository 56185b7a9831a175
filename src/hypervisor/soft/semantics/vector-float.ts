/** Float arithmetic and comparison of SSE to SSE4.1; see float-lanes.ts for how it stays exact. */
import type { OpName } from '../decode/opcodes.ts';
import { exactCode } from '../fpu/exact-code.ts';
import { ROUND } from '../fpu/ieee.ts';
import { CPU } from '../state.ts';
import { I32, type I64, select, V128 } from '../wasm/expr.ts';
import type { Local } from '../wasm/function-builder.ts';
import type { Operand } from './emit.ts';
import {
  type ArithmeticKind,
  activeLanes,
  type Checked,
  checkArithmetic,
  checkComparison,
  type Shape,
} from './float-check.ts';
import { F32_LANES, F64_LANES, holds, type Lanes, MXCSR, ordinary } from './float-lanes.ts';
import { bitselect, lanes as shuffleLanes, type VectorEmit, type VectorOp, XMM } from './vector-op.ts';

const PS: Shape = { lanes: F32_LANES, scalar: false };
const PD: Shape = { lanes: F64_LANES, scalar: false };
const SS: Shape = { lanes: F32_LANES, scalar: true };
const SD: Shape = { lanes: F64_LANES, scalar: true };

/** The result of an instruction: all of it, or lane 0 of it over the rest of a. */
export function setResult(e: VectorEmit, shape: Shape, result: V128): void {
  if (!shape.scalar) e.setVector('a', result);
  else if (shape.lanes.bytes === 4) e.setVector('a', result.shuffle(e.vector('a'), shuffleLanes(4, [0, 5, 6, 7])));
  else e.setVector('a', e.vector('a').replaceF64(0, result.extractF64(0)));
}

/** An operand as it is checked. */
const operand = (e: VectorEmit, name: Operand, shape: Shape): Checked => {
  const active = activeLanes(shape);
  const normal = (e.floats.normal(name, shape.lanes.bytes) & active) === active;
  return { value: e.f.let(e.vector(name)) as Local<'v128'>, normal };
};

/** Sets a to a result with no denormal in its lanes. */
function setNormal(e: VectorEmit, shape: Shape, result: V128): void {
  const { bytes } = shape.lanes;
  const before = shape.scalar ? e.floats.normal('a', bytes) : 0;
  setResult(e, shape, result);
  e.floats.note('a', bytes, before | activeLanes(shape));
}

/** Notes that the instruction has found no denormal in b. */
const noteOperand = (e: VectorEmit, shape: Shape): void => e.floats.note('b', shape.lanes.bytes, activeLanes(shape));

/** a = kind(a, b). */
function arithmetic(name: OpName, shape: Shape, kind: Exclude<ArithmeticKind, 'sqrt'>): VectorOp {
  const emit = (e: VectorEmit) => {
    const x = operand(e, 'a', shape);
    const y = operand(e, 'b', shape);
    const result = e.f.let(x.value.simd(shape.lanes[kind], y.value)) as Local<'v128'>;
    checkArithmetic(e, { op: name, shape, kind, x, y, result });
    noteOperand(e, shape);
    setNormal(e, shape, result);
  };
  return { op: name, a: 'rw', forms: XMM, emit };
}

/** a = kind(x, y), where all lanes of x and y are arranged from a and b. */
function arranged(
  name: OpName,
  shape: Shape,
  kind: 'add' | 'sub',
  arrange: (a: V128, b: V128) => readonly [V128, V128],
): VectorOp {
  const emit = (e: VectorEmit) => {
    const a = operand(e, 'a', shape);
    const b = operand(e, 'b', shape);
    const normal = a.normal && b.normal;
    const [first, second] = arrange(a.value, b.value);
    const x = { value: e.f.let(first) as Local<'v128'>, normal };
    const y = { value: e.f.let(second) as Local<'v128'>, normal };
    const result = e.f.let(x.value.simd(shape.lanes[kind], y.value)) as Local<'v128'>;
    checkArithmetic(e, { op: name, shape, kind, x, y, result });
    noteOperand(e, shape);
    setNormal(e, shape, result);
  };
  return { op: name, a: 'rw', forms: XMM, emit };
}

function squareRoot(name: OpName, shape: Shape): VectorOp {
  const emit = (e: VectorEmit) => {
    const x = operand(e, 'b', shape);
    const result = e.f.variable(x.value.simd(shape.lanes.sqrt)) as Local<'v128'>;
    checkArithmetic(e, { op: name, shape, kind: 'sqrt', x, y: x, result });
    noteOperand(e, shape);
    setNormal(e, shape, result);
  };
  return { op: name, a: shape.scalar ? 'rw' : 'w', forms: XMM, emit };
}

/** min and max give b where the operands are equal or one is a NaN. */
function extremum(op: OpName, shape: Shape, isMax: boolean): VectorOp {
  const emit = (e: VectorEmit) => {
    const x = operand(e, 'a', shape);
    const y = operand(e, 'b', shape);
    const { lt } = shape.lanes;
    checkComparison(e, { op, shape, ordered: I32.const(1), x, y });
    const takeA = isMax ? y.value.simd(lt, x.value) : x.value.simd(lt, y.value);
    noteOperand(e, shape);
    setNormal(e, shape, bitselect(x.value, y.value, takeA));
  };
  return { op, a: 'rw', forms: XMM, emit };
}

/** cmpps and its kin. */
function compare(op: OpName, shape: Shape): VectorOp {
  const emit = (e: VectorEmit) => {
    const x = operand(e, 'a', shape);
    const y = operand(e, 'b', shape);
    const predicate = e.f.let(e.imm32().and(7));
    const ordered = predicate.and(3).sub(1).ltU(2);
    checkComparison(e, { op, shape, ordered, x, y });
    const result = e.f.local('v128');
    const each = [0, 1, 2, 3].map((k) => () => e.f.set(result, relation(shape.lanes, k, x.value, y.value)));
    const known = e.knownImm();
    if (known === undefined) e.f.switch(predicate.and(3), each.slice(0, 3), each[3]!);
    else each[known & 3]!();
    const inverted = V128.splatI32(I32.const(0).sub(predicate.shrU(2)));
    noteOperand(e, shape);
    setResult(e, shape, known === undefined ? result.xor(inverted) : (known & 4) === 0 ? result : result.not());
  };
  return { op, a: 'rw', forms: XMM, emit };
}

/** Predicate 0 equal, 1 less, 2 less or equal, 3 unordered; 4 to 7 are their opposites. */
function relation({ eq, ne, lt, le }: Lanes, predicate: number, a: V128, b: V128): V128 {
  if (predicate === 3) return a.simd(ne, a).or(b.simd(ne, b));
  return a.simd([eq, lt, le][predicate]!, b);
}

/** comiss and its kin: ZF for equal, CF for less, these and PF for unordered. */
function compareToFlags(op: OpName, lanes: Lanes, ordered: boolean): VectorOp {
  const shape = { lanes, scalar: true };
  const emit = (e: VectorEmit) => {
    const x = operand(e, 'a', shape);
    const y = operand(e, 'b', shape);
    checkComparison(e, { op, shape, ordered: I32.const(ordered ? 1 : 0), x, y });
    e.floats.note('a', lanes.bytes, 1);
    noteOperand(e, shape);
    e.flags.floats(e.f.let(numberBits(lanes, x.value)), e.f.let(numberBits(lanes, y.value)));
  };
  return { op, a: 'r', forms: XMM, emit };
}

/** Lane 0, which fits into binary64 in any case, as its bits there. */
function numberBits({ bytes }: Lanes, v: V128): I64 {
  return bytes === 8 ? v.extractF64(0).bits() : v.extractF32(0).toF64().bits();
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

/** b with the sign of its even lanes inverted, but of NaNs, which a subtraction leaves as they are. */
const alternating = (lanes: Lanes) => {
  const signs = [...new Uint8Array(16)].map((_, i) => (i % (2 * lanes.bytes) === lanes.bytes - 1 ? 0x80 : 0));
  return (a: V128, b: V128) => [a, b.xor(b.simd(lanes.eq, b).and(V128.const(signs)))] as const;
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
    arithmetic(`add${suffix}`, shape, 'add'),
    arithmetic(`sub${suffix}`, shape, 'sub'),
    arithmetic(`mul${suffix}`, shape, 'mul'),
    arithmetic(`div${suffix}`, shape, 'div'),
    squareRoot(`sqrt${suffix}`, shape),
    extremum(`min${suffix}`, shape, false),
    extremum(`max${suffix}`, shape, true),
    compare(`cmp${suffix}`, shape),
    roundToInteger(`round${suffix}`, shape),
  ]),
  arranged('haddps', PS, 'add', neighbours(4)),
  arranged('haddpd', PD, 'add', neighbours(8)),
  arranged('hsubps', PS, 'sub', neighbours(4)),
  arranged('hsubpd', PD, 'sub', neighbours(8)),
  arranged('addsubps', PS, 'add', alternating(F32_LANES)),
  arranged('addsubpd', PD, 'add', alternating(F64_LANES)),
  compareToFlags('comiss', F32_LANES, true),
  compareToFlags('comisd', F64_LANES, true),
  compareToFlags('ucomiss', F32_LANES, false),
  compareToFlags('ucomisd', F64_LANES, false),
  outside('dpps', 'rw'),
  outside('dppd', 'rw'),
  outside('rcpps'),
  outside('rcpss', 'rw'),
  outside('rsqrtps'),
  outside('rsqrtss', 'rw'),
];
