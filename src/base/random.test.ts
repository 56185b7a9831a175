import assert from 'node:assert/strict';
import { test } from 'node:test';
import { random64, randomBytes } from './random.ts';

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
