import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitsOf, nextState, STREAM, seededBytes, streamStart } from './seeded-random.ts';

test('the generator is SplitMix64: its published first numbers for the state 1234567', () => {
  let state = 1234567n;
  const numbers = Array.from({ length: 3 }, () => {
    state = nextState(state);
    return bitsOf(state);
  });
  assert.deepEqual(numbers, [6457827717110365317n, 3203168211198807973n, 9817491932198370423n]);
});

test('a seed gives the same bytes again, another seed or stream others', () => {
  const bytes = seededBytes(7, STREAM.boot, 20);
  assert.equal(bytes.length, 20);
  assert.deepEqual(seededBytes(7, STREAM.boot, 20), bytes);
  assert.deepEqual(seededBytes(7, STREAM.boot, 12), bytes.slice(0, 12));
  assert.notDeepEqual(seededBytes(8, STREAM.boot, 20), bytes);
  assert.notDeepEqual(seededBytes(7, STREAM.rdrand, 20), bytes);
});

test('streams of neighbouring seeds do not begin near each other', () => {
  const starts = Array.from({ length: 100 }, (_, seed) => streamStart(seed, STREAM.boot)).sort((a, b) =>
    a < b ? -1 : 1,
  );
  for (let i = 1; i < starts.length; i++) assert.ok(starts[i]! - starts[i - 1]! > 1n << 32n);
  assert.doesNotThrow(() => streamStart(Number.MAX_SAFE_INTEGER, STREAM.rdrand));
});
