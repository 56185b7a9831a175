import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ieee from './ieee.ts';

const floats = new Float64Array(1);
const words = new BigUint64Array(floats.buffer);

function bitsOf(x: number): bigint {
  floats[0] = x;
  return words[0]!;
}

function numberOf(bits: bigint): number {
  words[0] = bits;
  return floats[0]!;
}

/** Numbers over the whole range of binary64, near each other often enough that sums cancel. */
function samples(count: number): number[] {
  let seed = 12345n;
  const next = () => (seed = BigInt.asUintN(64, seed * 6364136223846793005n + 1442695040888963407n)) >> 11n;
  const result = [1, -1, 3, 0.1, 2 ** -1074, 2 ** -1022, Number.MAX_VALUE, 2251799813685249.5];
  for (let i = result.length; i < count; i++) {
    const x = numberOf((next() << 20n) ^ next());
    result.push(!Number.isFinite(x) || x === 0 ? i : i % 2 === 0 ? x : Number(next() % 1000n) / 2 ** 8 + 1);
  }
  return result;
}

function finish(value: ieee.Exact, env: ieee.Environment): number {
  return numberOf(ieee.pack(ieee.BINARY64, ieee.round(ieee.BINARY64, value, env)));
}

test('binary64 arithmetic rounds as the host does', () => {
  const xs = samples(120);
  for (const x of xs) {
    for (const y of xs) {
      const a = ieee.unpack(ieee.BINARY64, bitsOf(x));
      const b = ieee.unpack(ieee.BINARY64, bitsOf(y));
      const env = new ieee.Environment();
      assert.equal(finish(ieee.add(a, b, env.rounding), env), x + y, `${x} + ${y}`);
      assert.equal(finish(ieee.multiply(a, b), env), x * y, `${x} * ${y}`);
      assert.equal(finish(ieee.divide(a, b, 53), env), x / y, `${x} / ${y}`);
      assert.equal(Math.sign(ieee.compare(a, b)), x < y ? -1 : x > y ? 1 : 0);
    }
    const a = ieee.unpack(ieee.BINARY64, bitsOf(Math.abs(x)));
    assert.equal(finish(ieee.squareRoot(a, 53), new ieee.Environment()), Math.sqrt(Math.abs(x)));
  }
});

test('a result that is tiny only before rounding does not underflow', () => {
  const env = new ieee.Environment();
  const justBelow: ieee.Exact = { sign: 0, significand: 2n ** 60n - 1n, exponent: -1022 - 60 };
  assert.equal(finish(justBelow, env), 2 ** -1022);
  assert.equal(env.flags, ieee.EXCEPTION.precision);
});

test('an exact denormal underflows only when underflow is unmasked, and is flushed on request', () => {
  const denormal: ieee.Exact = { sign: 1, significand: 1n, exponent: -1070 };
  const env = new ieee.Environment();
  assert.equal(finish(denormal, env), -(2 ** -1070));
  assert.equal(env.flags, 0);
  env.underflowMasked = false;
  finish(denormal, env);
  assert.equal(env.flags, ieee.EXCEPTION.underflow);
  env.underflowMasked = true;
  env.flushToZero = true;
  assert.equal(finish(denormal, env), -0);
});

test('overflow gives infinity or the largest number, by the rounding mode', () => {
  const huge: ieee.Exact = { sign: 0, significand: 1n, exponent: 5000 };
  const env = new ieee.Environment();
  assert.equal(finish(huge, env), Infinity);
  env.rounding = ieee.ROUND.zero;
  assert.equal(finish(huge, env), Number.MAX_VALUE);
  env.rounding = ieee.ROUND.up;
  assert.equal(finish({ ...huge, sign: 1 }, env), -Number.MAX_VALUE);
  assert.equal(env.flags, ieee.EXCEPTION.overflow | ieee.EXCEPTION.precision);
});

test('roundToInteger follows the rounding mode', () => {
  const value: ieee.Exact = { sign: 1, significand: 5n, exponent: -1 };
  const results = [0, 1, 2, 3].map((rounding) => {
    const env = Object.assign(new ieee.Environment(), { rounding });
    return Number(ieee.roundToInteger(value, env).significand);
  });
  assert.deepEqual(results, [2, 3, 2, 2]);
});
