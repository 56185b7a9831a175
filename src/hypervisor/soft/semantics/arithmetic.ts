/** Two-operand arithmetic and logic, INC DEC NEG NOT, and the fused forms with a memory operand. */
import { I64 } from '../wasm/expr.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import { type Size, zeroExtend } from './flags.ts';

/** Computes from two zero-extended values, sets the flags, and gives the result; undefined: nothing to write back. */
type Binary = (e: Emit, a: I64, b: I64, size: Size) => I64 | undefined;

const add: Binary = (e, a, b, size) => {
  const r = e.f.let(zeroExtend(a.add(b), size));
  e.flags.add(a, b, r, size);
  return r;
};

const adc: Binary = (e, a, b, size) => {
  const r = e.f.let(zeroExtend(a.add(b).add(e.flags.cf64()), size));
  e.flags.adc(a, b, r, size);
  return r;
};

const sub: Binary = (e, a, b, size) => {
  const r = e.f.let(zeroExtend(a.sub(b), size));
  e.flags.sub(a, b, r, size);
  return r;
};

const sbb: Binary = (e, a, b, size) => {
  const r = e.f.let(zeroExtend(a.sub(b).sub(e.flags.cf64()), size));
  e.flags.sbb(a, b, r, size);
  return r;
};

const logic =
  (compute: (a: I64, b: I64) => I64): Binary =>
  (e, a, b, size) => {
    const r = e.f.let(compute(a, b));
    e.flags.logic(r, size);
    return r;
  };

const withoutResult =
  (binary: Binary): Binary =>
  (e, a, b, size) => {
    binary(e, a, b, size);
    return undefined;
  };

const and = logic((a, b) => a.and(b));

export const BINARY: Readonly<Record<string, Binary>> = {
  add,
  or: logic((a, b) => a.or(b)),
  adc,
  sbb,
  and,
  sub,
  xor: logic((a, b) => a.xor(b)),
  cmp: withoutResult(sub),
  test: withoutResult(and),
};

type Unary = (e: Emit, a: I64, size: Size) => I64;

/** Computes from a zero-extended value, sets the flags, and gives the result. */
export const UNARY: Readonly<Record<string, Unary>> = {
  inc: (e, a, size) => {
    const r = e.f.let(zeroExtend(a.add(1), size));
    e.flags.inc(r, size);
    return r;
  },
  dec: (e, a, size) => {
    const r = e.f.let(zeroExtend(a.sub(1), size));
    e.flags.dec(r, size);
    return r;
  },
  neg: (e, a, size) => {
    const r = e.f.let(zeroExtend(I64.const(0).sub(a), size));
    e.flags.sub(I64.const(0), a, r, size);
    return r;
  },
  not: (_e, a, size) => zeroExtend(a.xor(-1), size),
};

export function defineArithmetic(ops: MicroOps): void {
  for (const [name, compute] of Object.entries(BINARY)) {
    for (const size of SIZES) defineBinary(ops, name, compute, size);
  }
  for (const [name, compute] of Object.entries(UNARY)) {
    for (const size of SIZES) {
      ops[size >= 4 ? 'hot' : 'cold'](`${name}.${size}`, (e) =>
        e.set('a', size, compute(e, e.f.let(e.get('a', size)), size)),
      );
    }
  }
}

/** Forms: rr and ri on slots; rm with b in memory; mr and mi where a is in memory and only read. */
function defineBinary(ops: MicroOps, name: string, compute: Binary, size: Size): void {
  const writes = name !== 'cmp' && name !== 'test';
  const wide = size >= 4;
  const finish = (e: Emit, a: I64, b: I64) => {
    const result = compute(e, e.f.let(a), e.f.let(b), size);
    if (result !== undefined) e.set('a', size, result);
  };
  const define = (form: string, hot: boolean, emit: (e: Emit) => void) =>
    ops[hot ? 'hot' : 'cold'](`${name}.${size}.${form}`, emit);
  const imm = (e: Emit) => zeroExtend(e.imm(), size);
  define('rr', wide || !writes, (e) => finish(e, e.get('a', size), e.get('b', size)));
  define('ri', wide || !writes, (e) => finish(e, e.get('a', size), imm(e)));
  if (wide) define('rm', true, (e) => finish(e, e.get('a', size), e.load(e.address(), size)));
  if (!writes) {
    define('mr', name === 'cmp' && size !== 2, (e) => finish(e, e.load(e.address(), size), e.get('b', size)));
    define('mi', size !== 2, (e) => finish(e, e.load(e.address(), size), imm(e)));
  }
}
