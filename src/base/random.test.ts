import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf } from './ffi.ts';
import { fillRandom, random64, randomBytes } from './random.ts';

test('random bytes differ, and every one of them is set', () => {
  assert.notDeepEqual(randomBytes(32), randomBytes(32));
  assert.notEqual(random64(), random64());
  const seen = new Uint8Array(256);
  for (let i = 0; i < 40; i++) {
    randomBytes(256).forEach((byte, at) => {
      seen[at]! |= byte;
    });
  }
  assert.ok(seen.every((byte) => byte !== 0));
});

test('more than the kernel gives at once is refused', () => {
  assert.throws(() => randomBytes(257), RangeError);
});

test('memory is filled as far as it is said, however much that is', () => {
  const bytes = new Uint8Array(1 << 16);
  fillRandom(addressOf(bytes), bytes.length - 1000);
  assert.ok(bytes.subarray(0, -1000).filter((byte) => byte === 0).length < 1000);
  assert.ok(bytes.subarray(-1000).every((byte) => byte === 0));
});
