import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lock } from './lock.ts';

test('a held lock is not taken, a released one is', () => {
  const word = new Int32Array(new SharedArrayBuffer(4));
  const [ours, theirs] = [new Lock(word), new Lock(word)];
  ours.acquire();
  assert.equal(theirs.tryAcquire(1), false);
  ours.release();
  assert.equal(theirs.tryAcquire(0), true);
  assert.equal(ours.tryAcquire(0), false);
  theirs.release();
  ours.acquire();
});
