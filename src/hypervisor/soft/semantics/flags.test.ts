import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG } from '../architecture.ts';
import { CPU } from '../state.ts';
import { CpuState } from '../system/cpu-state.ts';
import { I32, I64 } from '../wasm/expr.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { Flags, type Size } from './flags.ts';

const SIZES: readonly Size[] = [1, 2, 4, 8];
/** The vCPU's block is at 0. */
const BLOCK = I32.const(0);
const ALL = FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.of;

function build() {
  const m = new ModuleBuilder();
  for (const size of SIZES) {
    const bits = size * 8;
    const narrow = (v: I64) => (size === 8 ? v : v.and(I64.const((1n << BigInt(bits)) - 1n)));
    m.func(
      ['i64', 'i64', 'i64'],
      ['i32'],
      (f, a, b, carry) => {
        const flags = new Flags(f, BLOCK);
        flags.add(a, b, f.let(narrow(a.add(b).add(carry))), size);
        f.return(flags.image());
      },
      `add${size}`,
    );
    m.func(
      ['i64', 'i64', 'i64'],
      ['i32'],
      (f, a, b, borrow) => {
        const flags = new Flags(f, BLOCK);
        flags.sub(a, b, f.let(narrow(a.sub(b).sub(borrow))), size);
        f.return(flags.image());
      },
      `sub${size}`,
    );
    m.func(
      ['i64'],
      ['i32'],
      (f, a) => {
        const flags = new Flags(f, BLOCK);
        flags.logic(a, size);
        f.return(flags.image());
      },
      `logic${size}`,
    );
  }
  m.func(
    ['i32'],
    ['i32'],
    (f, image) => {
      const flags = new Flags(f, BLOCK);
      flags.load(image);
      f.return(flags.image());
    },
    'load',
  );
  for (let cc = 0; cc < 16; cc++) m.func([], ['i32'], (f) => f.return(new Flags(f, BLOCK).condition(cc)), `cc${cc}`);
  for (const name of ['inc', 'dec'] as const) {
    m.func(
      ['i64'],
      ['i32'],
      (f, result) => {
        const flags = new Flags(f, BLOCK);
        flags[name](result, 1);
        f.return(flags.image());
      },
      name,
    );
  }
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } });
  return { call: exports as Record<string, CallableFunction>, memory };
}

const { call, memory } = build();

/** SF, ZF and PF of a result. */
function ofResult(result: bigint, bits: bigint): number {
  let parity = Number(result & 0xffn);
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return (
    ((parity & 1) === 0 ? FLAG.pf : 0) | (result === 0n ? FLAG.zf : 0) | (result >> (bits - 1n) === 1n ? FLAG.sf : 0)
  );
}

/** The flags after a + b + carry, or a - b - carry, by the definitions in SDM vol. 1, 3.4.3.1. */
function expected(a: bigint, b: bigint, carry: bigint, size: Size, sign: 1n | -1n): number {
  const bits = BigInt(size * 8);
  const exact = a + sign * (b + carry);
  const result = BigInt.asUintN(Number(bits), exact);
  const signed = (v: bigint) => BigInt.asIntN(Number(bits), v);
  const exactSigned = signed(a) + sign * (signed(b) + carry);
  const nibble = (a & 15n) + sign * ((b & 15n) + carry);
  return (
    ofResult(result, bits) |
    (exact !== result ? FLAG.cf : 0) |
    (exactSigned !== signed(result) ? FLAG.of : 0) |
    (nibble < 0n || nibble > 15n ? FLAG.af : 0)
  );
}

function check(a: bigint, b: bigint, carry: bigint, size: Size): void {
  const args = [a, b, carry].map((v) => BigInt.asIntN(64, v));
  for (const [name, sign] of [
    ['add', 1n],
    ['sub', -1n],
  ] as const) {
    const got = call[name + size]!(...args);
    const want = expected(a, b, carry, size, sign);
    if (got !== want) assert.equal(got.toString(16), want.toString(16), `${name}${size} ${a} ${b} ${carry}`);
  }
}

test('flags of additions and subtractions: all bytes, with and without carry', () => {
  for (let a = 0n; a < 256n; a++) {
    for (let b = 0n; b < 256n; b++) for (const carry of [0n, 1n]) check(a, b, carry, 1);
  }
});

test('flags of additions and subtractions: the ends of each size', () => {
  for (const size of SIZES) {
    const top = 1n << BigInt(size * 8 - 1);
    const values = [0n, 1n, 2n, 15n, 16n, top - 1n, top, top + 1n, 2n * top - 2n, 2n * top - 1n, 0x55n, 0xaan];
    for (const a of values) for (const b of values) for (const carry of [0n, 1n]) check(a, b, carry, size);
  }
});

test('flags of logic: carry, overflow and AF are clear', () => {
  for (const size of SIZES) {
    const bits = BigInt(size * 8);
    for (const v of [0n, 1n, 3n, 0x80n, 1n << (bits - 1n), (1n << bits) - 1n]) {
      const value = BigInt.asUintN(Number(bits), v);
      assert.equal(call[`logic${size}`]!(BigInt.asIntN(64, value)), ofResult(value, bits));
    }
  }
});

test('every combination of the six flags can be loaded, and conditions follow from it', () => {
  const state = new CpuState(memory.buffer, 0);
  for (let image = 0; image <= ALL; image++) {
    if ((image & ~ALL) !== 0) continue;
    assert.equal(call['load']!(image), image);
    assert.equal(state.rflags & ALL, image, 'read by TypeScript');
    checkConditions(image);
    call['load']!(image ^ ALL);
    state.rflags = image;
    assert.equal(state.rflags, image | 2);
    checkConditions(image);
  }
  assert.equal(state.u32(CPU.eflags), 2);
});

test('INC and DEC leave CF and set the others', () => {
  for (const [name, sign] of [
    ['inc', 1n],
    ['dec', -1n],
  ] as const) {
    for (const carry of [0, FLAG.cf]) {
      for (let a = 0n; a < 256n; a++) {
        call['load']!(carry);
        const want = (expected(a, 1n, 0n, 1, sign) & ~FLAG.cf) | carry;
        assert.equal(call[name]!(BigInt.asUintN(8, a + sign)), want, `${name} ${a}`);
      }
    }
  }
});

function checkConditions(image: number): void {
  const has = (bit: number) => (image & bit) !== 0;
  const less = has(FLAG.sf) !== has(FLAG.of);
  const positive = [
    has(FLAG.of),
    has(FLAG.cf),
    has(FLAG.zf),
    has(FLAG.cf) || has(FLAG.zf),
    has(FLAG.sf),
    has(FLAG.pf),
    less,
    less || has(FLAG.zf),
  ];
  positive.forEach((holds, i) => {
    assert.equal(call[`cc${2 * i}`]!(), holds ? 1 : 0, `condition ${2 * i} of ${image.toString(16)}`);
    assert.equal(call[`cc${2 * i + 1}`]!(), holds ? 0 : 1);
  });
}
