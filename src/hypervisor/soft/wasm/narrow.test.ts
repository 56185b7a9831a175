import assert from 'node:assert/strict';
import { test } from 'node:test';
import { I32, I64 } from './expr.ts';
import { FunctionBuilder } from './function-builder.ts';
import { ModuleBuilder } from './module-builder.ts';
import { low32, significantBits, wrap32 } from './narrow.ts';

test('constants, masks, shifts and extensions bound a value', () => {
  const f = new FunctionBuilder(['i64', 'i32']);
  const x = f.param(0, 'i64');
  const n = f.param(1, 'i32');
  const bits = (value: I64) => significantBits(value);
  for (const value of [0, 1, 63, 64, 127, 128, 0x7fff_ffff, 0xffff_ffff, 2 ** 40, -1, -(2n ** 63n), 2n ** 63n - 1n]) {
    const expected = value < 0 ? 64 : value === 0 ? 0 : value.toString(2).length;
    assert.equal(bits(I64.const(value)), expected, `${value}`);
  }
  assert.equal(bits(x), 64);
  assert.equal(bits(n.toI64()), 32);
  assert.equal(bits(x.and(0xff)), 8);
  assert.equal(bits(n.toI64().shrU(20)), 12);
  assert.equal(bits(n.toI64().shl(20)), 52);
  assert.equal(bits(n.toI64().shl(x)), 64);
  assert.equal(bits(x.and(0xff).or(n.toI64())), 32);
  assert.equal(bits(n.toI64().add(1)), 64);
  assert.equal(bits(f.let(x.and(7))), 3);
  assert.equal(bits(f.variable(x.and(7))), 64);
});

test('a local that was made narrow does not become wide', () => {
  const f = new FunctionBuilder(['i64']);
  const narrow = f.let(f.param(0, 'i64').and(0xff));
  f.set(narrow, I64.const(255));
  assert.throws(() => f.set(narrow, I64.const(256)), /narrower/);
});

test('the low half of an expression is that of its value', () => {
  const cases: ((x: I64, y: I64) => I64)[] = [
    (x, y) => x.add(y),
    (x, y) => x.sub(y).mul(x),
    (x, y) => x.and(y).or(x.xor(y)),
    (x, y) => x.shl(5).add(y.shl(40)),
    (x, y) => x.shl(y),
    (x, y) => x.shrU(3).add(y.shrS(60)),
    (x) => x.wrap().toI64().sub(1),
    (x) =>
      x
        .add(0xffff_ffff)
        .add(-5n)
        .add(2n ** 40n),
    (x, y) => x.rotl(y),
  ];
  const m = new ModuleBuilder();
  for (const [i, make] of cases.entries()) {
    m.func(['i64', 'i64'], ['i64'], (f, x, y) => f.return(make(x, y).and(0xffff_ffff)), `whole${i}`);
    m.func(['i64', 'i64'], ['i64'], (f, x, y) => f.return(low32(make(x, y))), `low${i}`);
    m.func(['i64', 'i64'], ['i32'], (f, x, y) => f.return(wrap32(make(x, y))), `wrap${i}`);
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const e = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } }).exports as Record<
    string,
    (x: bigint, y: bigint) => bigint | number
  >;
  const values = [0n, 1n, -1n, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0001n, 0x7fff_ffff_8000_0001n, 31n, 33n, 64n];
  for (let i = 0; i < cases.length; i++) {
    for (const x of values) {
      for (const y of values) {
        const whole = e[`whole${i}`]!(x, y);
        assert.equal(e[`low${i}`]!(x, y), whole, `${i}: ${x}, ${y}`);
        assert.equal(BigInt.asUintN(32, BigInt(e[`wrap${i}`]!(x, y))), whole, `${i}: ${x}, ${y}`);
      }
    }
  }
});

test('constants stay constants', () => {
  assert.deepEqual(wrap32(I64.const(-1)).code, I32.const(-1).code);
  assert.deepEqual(low32(I64.const(7)).code, I64.const(7).code);
});
