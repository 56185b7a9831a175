/**
 * Vector instructions that generated code leaves to TypeScript (Emit.exact): float instructions whose operands, result or
 * modes are out of the ordinary, and the few that are always done here.
 */
import { CR4, FLAG, VECTOR } from '../architecture.ts';
import { OP, type OpName } from '../decode/opcodes.ts';
import { writeArithmeticFlags } from '../flags-image.ts';
import { CPU } from '../state.ts';
import { exactOp, exactSize } from './exact-code.ts';
import { BINARY32, BINARY64, EXCEPTION, type Format, ROUND } from './ieee.ts';
import { type Relation, reciprocal, reciprocalRoot, SseArithmetic } from './softfloat.ts';
import { QUICK_OPERATIONS, type QuickOperation } from './sse-quick.ts';

const VECTOR_BYTES = 16;

/** The instruction being executed. */
interface Context {
  readonly view: DataView;
  readonly arithmetic: SseArithmetic;
  /** Addresses of the vCPU's block, of operand a and of operand b. */
  cpu: number;
  a: number;
  b: number;
  /** Addresses of the slots, where the operand is a general one. */
  slotA: number;
  slotB: number;
  imm: number;
  size: number;
}

/** Computes, and returns what stores the result if no fault came of it. */
type Operation = (c: Context) => () => void;

type Binary = (arithmetic: SseArithmetic, format: Format, a: bigint, b: bigint, imm: number) => bigint;
type Unary = (arithmetic: SseArithmetic, b: bigint, imm: number) => bigint;

const width = (format: Format): number => (format === BINARY32 ? 4 : 8);

function read(c: Context, address: number, bytes: number): bigint {
  return bytes === 4 ? BigInt(c.view.getUint32(address, true)) : c.view.getBigUint64(address, true);
}

function write(c: Context, address: number, bytes: number, value: bigint): void {
  if (bytes === 4) c.view.setUint32(address, Number(value), true);
  else c.view.setBigUint64(address, value, true);
}

/** Stores elements at a, and zeros behind them up to `total` bytes. */
function storeElements(c: Context, bytes: number, elements: readonly bigint[], total = 0): () => void {
  return () => {
    elements.forEach((value, i) => {
      write(c, c.a + i * bytes, bytes, value);
    });
    for (let at = elements.length * bytes; at < total; at += 4) c.view.setUint32(c.a + at, 0, true);
  };
}

const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** a[i] = f(a[i], b[i]) for `count` elements. */
const binary =
  (format: Format, count: number, f: Binary): Operation =>
  (c) => {
    const bytes = width(format);
    const at = (base: number, i: number) => read(c, base + i * bytes, bytes);
    const result = indices(count).map((i) => f(c.arithmetic, format, at(c.a, i), at(c.b, i), c.imm));
    return storeElements(c, bytes, result);
  };

/** a[i] = f(b[i]) for `count` elements of `from` bytes that become `to` bytes; the rest up to `total` bytes becomes 0. */
const unary =
  (from: number, to: number, count: number, f: Unary, total = 0): Operation =>
  (c) => {
    const result = indices(count).map((i) => f(c.arithmetic, read(c, c.b + i * from, from), c.imm));
    return storeElements(c, to, result, total);
  };

/** Neighbours of a, then of b, combined. */
const horizontal =
  (format: Format, f: Binary): Operation =>
  (c) => {
    const bytes = width(format);
    const pairs = 8 / bytes;
    const one = (base: number, i: number) => {
      const at = base + 2 * i * bytes;
      return f(c.arithmetic, format, read(c, at, bytes), read(c, at + bytes, bytes), 0);
    };
    const result = [...indices(pairs).map((i) => one(c.a, i)), ...indices(pairs).map((i) => one(c.b, i))];
    return storeElements(c, bytes, result);
  };

/** Even elements subtracted, odd ones added. */
const addSubtract =
  (format: Format): Operation =>
  (c) => {
    const bytes = width(format);
    const result = indices(16 / bytes).map((i) => {
      const f = (i & 1) === 0 ? subtract : add;
      return f(c.arithmetic, format, read(c, c.a + i * bytes, bytes), read(c, c.b + i * bytes, bytes), 0);
    });
    return storeElements(c, bytes, result);
  };

/** Products that the immediate's upper half selects, summed in pairs, to the elements that its lower half selects. */
const dotProduct =
  (format: Format): Operation =>
  (c) => {
    const bytes = width(format);
    const count = 16 / bytes;
    const { arithmetic } = c;
    let sums = indices(count).map((i) =>
      ((c.imm >> (4 + i)) & 1) === 0
        ? 0n
        : arithmetic.multiply(format, read(c, c.a + i * bytes, bytes), read(c, c.b + i * bytes, bytes)),
    );
    while (sums.length > 1 && !arithmetic.faults) {
      arithmetic.nextStep();
      sums = indices(sums.length / 2).map((i) => arithmetic.add(format, sums[2 * i]!, sums[2 * i + 1]!));
    }
    const result = indices(count).map((i) => (((c.imm >> i) & 1) === 0 ? 0n : sums[0]!));
    return storeElements(c, bytes, result);
  };

const add: Binary = (x, format, a, b) => x.add(format, a, b);
const subtract: Binary = (x, format, a, b) => x.subtract(format, a, b);
const multiply: Binary = (x, format, a, b) => x.multiply(format, a, b);
const divide: Binary = (x, format, a, b) => x.divide(format, a, b);
const squareRoot: Binary = (x, format, _a, b) => x.squareRoot(format, b);
const minimum: Binary = (x, format, a, b) => x.extremum(format, a, b, false);
const maximum: Binary = (x, format, a, b) => x.extremum(format, a, b, true);

/** Immediate: bits 0-1 the rounding mode, bit 2 take MXCSR's instead, bit 3 do not flag precision. */
const roundTo: Binary = (x, format, _a, b, imm) =>
  x.roundToInteger(format, b, (imm & 4) !== 0 ? x.rounding : imm & 3, (imm & 8) === 0);

/** Predicates 0 eq, 1 lt, 2 le, 3 unordered, and 4 to 7 their opposites. */
const PREDICATES: readonly (readonly Relation[])[] = [['equal'], ['less'], ['less', 'equal'], ['unordered']];

const compareToMask: Binary = (x, format, a, b, imm) => {
  const kind = imm & 3;
  const relation = x.compare(format, a, b, kind === 1 || kind === 2);
  const holds = PREDICATES[kind]!.includes(relation) !== ((imm & 4) !== 0);
  return holds ? (1n << BigInt(width(format) * 8)) - 1n : 0n;
};

const RELATION_FLAGS: Readonly<Record<Relation, number>> = {
  less: FLAG.cf,
  equal: FLAG.zf,
  greater: 0,
  unordered: FLAG.zf | FLAG.pf | FLAG.cf,
};

const compareToFlags =
  (format: Format, quietIsInvalid: boolean): Operation =>
  (c) => {
    const bytes = width(format);
    const relation = c.arithmetic.compare(format, read(c, c.a, bytes), read(c, c.b, bytes), quietIsInvalid);
    return () => writeArithmeticFlags(c.view, c.cpu, RELATION_FLAGS[relation]);
  };

const convert =
  (from: Format, to: Format): Unary =>
  (x, b) =>
    x.convert(from, to, b);

const toInteger =
  (format: Format, truncate: boolean): Unary =>
  (x, b) =>
    x.toInteger(format, b, 32, truncate ? ROUND.zero : x.rounding);

/** Two integers to an MMX register: the sign and exponent of the x87 register that it lies in become all ones. */
const toMmx =
  (format: Format, truncate: boolean): Operation =>
  (c) => {
    const store = unary(width(format), 4, 2, toInteger(format, truncate))(c);
    return () => {
      store();
      c.view.setUint16(c.a + 8, 0xffff, true);
    };
  };

const fromInteger: Unary = (x, b) => x.fromInteger(BINARY32, BigInt.asIntN(32, b));

const approximate =
  (f: (bits: number) => number): Unary =>
  (_x, b) =>
    BigInt(f(Number(b)));

const toGeneral =
  (format: Format, truncate: boolean): Operation =>
  (c) => {
    const bits = read(c, c.b, width(format));
    const rounding = truncate ? ROUND.zero : c.arithmetic.rounding;
    const value = c.arithmetic.toInteger(format, bits, c.size * 8, rounding);
    return () => c.view.setBigUint64(c.slotA, value, true);
  };

const fromGeneral =
  (format: Format): Operation =>
  (c) => {
    const value = BigInt.asIntN(c.size * 8, read(c, c.slotB, 8));
    return storeElements(c, width(format), [c.arithmetic.fromInteger(format, value)]);
  };

/** The packed and scalar instructions of one name. */
const family = (name: string, f: Binary): [string, Operation][] => [
  [`${name}ps`, binary(BINARY32, 4, f)],
  [`${name}pd`, binary(BINARY64, 2, f)],
  [`${name}ss`, binary(BINARY32, 1, f)],
  [`${name}sd`, binary(BINARY64, 1, f)],
];

const OPERATIONS: Readonly<Partial<Record<OpName, Operation>>> = Object.fromEntries<Operation>([
  ...family('add', add),
  ...family('sub', subtract),
  ...family('mul', multiply),
  ...family('div', divide),
  ...family('sqrt', squareRoot),
  ...family('min', minimum),
  ...family('max', maximum),
  ...family('cmp', compareToMask),
  ...family('round', roundTo),
  ['haddps', horizontal(BINARY32, add)],
  ['haddpd', horizontal(BINARY64, add)],
  ['hsubps', horizontal(BINARY32, subtract)],
  ['hsubpd', horizontal(BINARY64, subtract)],
  ['addsubps', addSubtract(BINARY32)],
  ['addsubpd', addSubtract(BINARY64)],
  ['dpps', dotProduct(BINARY32)],
  ['dppd', dotProduct(BINARY64)],
  ['comiss', compareToFlags(BINARY32, true)],
  ['comisd', compareToFlags(BINARY64, true)],
  ['ucomiss', compareToFlags(BINARY32, false)],
  ['ucomisd', compareToFlags(BINARY64, false)],
  ['rcpps', unary(4, 4, 4, approximate(reciprocal))],
  ['rcpss', unary(4, 4, 1, approximate(reciprocal))],
  ['rsqrtps', unary(4, 4, 4, approximate(reciprocalRoot))],
  ['rsqrtss', unary(4, 4, 1, approximate(reciprocalRoot))],
  ['cvtps2pd', unary(4, 8, 2, convert(BINARY32, BINARY64))],
  ['cvtss2sd', unary(4, 8, 1, convert(BINARY32, BINARY64))],
  ['cvtpd2ps', unary(8, 4, 2, convert(BINARY64, BINARY32), 16)],
  ['cvtsd2ss', unary(8, 4, 1, convert(BINARY64, BINARY32))],
  ['cvtdq2ps', unary(4, 4, 4, fromInteger)],
  ['cvtpi2ps', unary(4, 4, 2, fromInteger)],
  ['cvtps2dq', unary(4, 4, 4, toInteger(BINARY32, false))],
  ['cvttps2dq', unary(4, 4, 4, toInteger(BINARY32, true))],
  ['cvtpd2dq', unary(8, 4, 2, toInteger(BINARY64, false), 16)],
  ['cvttpd2dq', unary(8, 4, 2, toInteger(BINARY64, true), 16)],
  ['cvtps2pi', toMmx(BINARY32, false)],
  ['cvttps2pi', toMmx(BINARY32, true)],
  ['cvtpd2pi', toMmx(BINARY64, false)],
  ['cvttpd2pi', toMmx(BINARY64, true)],
  ['cvtss2si', toGeneral(BINARY32, false)],
  ['cvttss2si', toGeneral(BINARY32, true)],
  ['cvtsd2si', toGeneral(BINARY64, false)],
  ['cvttsd2si', toGeneral(BINARY64, true)],
  ['cvtsi2ss', fromGeneral(BINARY32)],
  ['cvtsi2sd', fromGeneral(BINARY64)],
]);

/** The operations by Insn.op. */
const BY_OP: (Operation | undefined)[] = [];
for (const [name, operation] of Object.entries(OPERATIONS)) BY_OP[OP[name as OpName]] = operation;

const QUICK: (QuickOperation | undefined)[] = [];
for (const [name, operation] of QUICK_OPERATIONS) QUICK[OP[name]] = operation;

/** MXCSR without its flags, as it usually is: all masked, to nearest, nothing flushed. */
const MODES = 0xffc0;
const USUAL_MODES = 0x1f80;

export class SseExact {
  readonly #context: Context;

  /**
   * @param view the WebAssembly memory
   * @param cpuBlock address of the vCPU's block in it
   */
  constructor(view: DataView, cpuBlock: number) {
    this.#context = {
      view,
      arithmetic: new SseArithmetic(),
      cpu: cpuBlock,
      a: 0,
      b: 0,
      slotA: 0,
      slotB: 0,
      imm: 0,
      size: 0,
    };
  }

  /** Whether this is a code of an instruction that stands here. */
  static knows(code: number): boolean {
    return BY_OP[exactOp(code)] !== undefined;
  }

  /**
   * Executes one instruction and returns 0, or 1 + the vector of its fault (#XM, or #UD where CR4.OSXMMEXCPT is clear).
   *
   * @param code what Emit.exact() was given: exactCode()
   * @param a,b the operands: a slot for a general register, a number for a vector (0-15 XMM, XMM_TEMP and the next, then
   *   MMX_FIRST + n for the physical x87 register n)
   * @param imm the immediate byte
   */
  execute(code: number, a: number, b: number, imm: number): number {
    const operation = BY_OP[exactOp(code)];
    if (operation === undefined) return 1 + VECTOR.ud;
    const c = this.#context;
    c.slotA = c.cpu + a;
    c.slotB = c.cpu + b;
    c.a = c.cpu + CPU.xmm + a * VECTOR_BYTES;
    c.b = c.cpu + CPU.xmm + b * VECTOR_BYTES;
    c.imm = imm & 0xff;
    c.size = exactSize(code);
    const { view, arithmetic, cpu } = c;
    const mxcsr = view.getUint32(cpu + CPU.mxcsr, true);
    if ((mxcsr & MODES) === USUAL_MODES) {
      const exact = QUICK[exactOp(code)]?.run(view, c.a, c.b);
      if (exact === false) view.setUint32(cpu + CPU.mxcsr, mxcsr | EXCEPTION.precision, true);
      if (exact !== undefined) return 0;
    }
    arithmetic.begin(mxcsr);
    const store = operation(c);
    view.setUint32(cpu + CPU.mxcsr, mxcsr | arithmetic.flags, true);
    if (arithmetic.faults) return 1 + this.#faultVector();
    store();
    return 0;
  }

  #faultVector(): number {
    const cr4 = this.#context.view.getUint32(this.#context.cpu + CPU.cr4, true);
    return (cr4 & CR4.osxmmexcpt) !== 0 ? VECTOR.xm : VECTOR.ud;
  }
}
