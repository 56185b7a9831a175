import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as atomics from './atomics.ts';
import { I32 } from './expr.ts';
import { ModuleBuilder } from './module-builder.ts';

const OPS: Readonly<Record<atomics.RmwOp, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  exchange: (_a, b) => b,
};
const SIZES = [1, 2, 4, 8] as const;
const BEFORE = 0xf1e2_d3c4_b5a6_9788n;
const VALUE = 0x0123_4567_89ab_cdefn;

function instantiate(m: ModuleBuilder) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } });
  return { e: exports as Record<string, (...args: unknown[]) => bigint>, view: new DataView(memory.buffer) };
}

test('read-modify-write in each size gives the old value and changes no byte around it', () => {
  const m = new ModuleBuilder();
  for (const op of Object.keys(OPS) as atomics.RmwOp[]) {
    for (const size of SIZES) {
      m.func(['i32', 'i64'], ['i64'], (f, at, v) => f.return(atomics.atomicRmw(f, op, at, size, v)), `${op}${size}`);
    }
  }
  const { e, view } = instantiate(m);
  for (const [op, compute] of Object.entries(OPS)) {
    for (const size of SIZES) {
      const bits = size * 8;
      for (const at of [0, 16 - size]) {
        view.setBigUint64(0, BEFORE, true);
        view.setBigUint64(8, BEFORE, true);
        const old = BigInt.asUintN(bits, BEFORE >> BigInt(at === 0 ? 0 : 64 - bits));
        assert.equal(BigInt.asUintN(64, e[`${op}${size}`]!(at, VALUE)), old);
        const shift = BigInt(at === 0 ? 0 : 64 - bits);
        const mask = ((1n << BigInt(bits)) - 1n) << shift;
        const after = (BEFORE & ~mask) | (BigInt.asUintN(bits, compute(old, VALUE)) << shift);
        assert.equal(view.getBigUint64(at === 0 ? 0 : 8, true), after, `${op} ${size}`);
        assert.equal(view.getBigUint64(at === 0 ? 8 : 0, true), BEFORE);
      }
    }
  }
});

test('compare-exchange stores only over what was expected; loads are zero-extended', () => {
  const m = new ModuleBuilder();
  for (const size of SIZES) {
    m.func(
      ['i64', 'i64'],
      ['i64'],
      (f, expected, v) => f.return(atomics.atomicCompareExchange(f, I32.const(8), size, expected, v)),
      `exchange${size}`,
    );
    m.func([], ['i64'], (f) => f.return(atomics.atomicLoad(f, I32.const(8), size)), `load${size}`);
  }
  const { e, view } = instantiate(m);
  for (const size of SIZES) {
    view.setBigUint64(8, BEFORE, true);
    const old = BigInt.asUintN(size * 8, BEFORE);
    const exchange = (expected: bigint) => BigInt.asUintN(64, e[`exchange${size}`]!(expected, VALUE));
    const load = () => BigInt.asUintN(64, e[`load${size}`]!());
    assert.equal(exchange(old ^ 1n), old);
    assert.equal(load(), old);
    assert.equal(exchange(old), old);
    assert.equal(load(), BigInt.asUintN(size * 8, VALUE));
  }
});

test('words: read-modify-write, compare-exchange, store, wait for another value, notify, fence', () => {
  const m = new ModuleBuilder();
  m.func(
    ['i32'],
    ['i32'],
    (f, n) => {
      const old = atomics.atomicRmw32(f, 'add', I32.const(0), 4, n);
      f.drop(atomics.atomicCompareExchange32(f, I32.const(8), 5, 6));
      atomics.atomicStore32(f, I32.const(8), 4, n);
      atomics.atomicFence(f);
      // The word holds another value: no waiting.
      atomics.atomicWait32(f, I32.const(4), 12345);
      atomics.atomicNotify(f, I32.const(4), 1);
      f.return(old);
    },
    'words',
  );
  const { e, view } = instantiate(m);
  view.setInt32(4, 7, true);
  view.setInt32(8, 5, true);
  assert.equal(e['words']!(3), 7);
  assert.deepEqual(
    [4, 8, 12].map((at) => view.getInt32(at, true)),
    [10, 6, 3],
  );
});

test('an access that is not aligned traps', () => {
  const m = new ModuleBuilder();
  m.func(['i32', 'i64'], ['i64'], (f, at, v) => f.return(atomics.atomicRmw(f, 'add', at, 8, v)), 'add');
  const { e } = instantiate(m);
  assert.throws(() => e['add']!(4, 1n), WebAssembly.RuntimeError);
});
