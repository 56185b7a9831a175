import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killedAt } from '../virtio/testing/kill-points.ts';
import { KEPT_STATE_SIZE, KeptState } from './kept-state.ts';

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes);
const bytes = (words: string) => new TextEncoder().encode(words);

test('the last state that was written as a whole is there, whenever the process was killed', () => {
  for (let store = 0; ; store++) {
    const memory = new ArrayBuffer(KEPT_STATE_SIZE);
    assert.equal(new KeptState(memory).read(), undefined);
    let last: string | undefined;
    const wasKilled = killedAt(store, () => {
      const kept = new KeptState(memory);
      for (const state of ['first', 'the second', '3', 'a fourth one']) {
        kept.write(bytes(state));
        last = state;
      }
    });
    const found = text(new KeptState(memory).read());
    if (!wasKilled) {
      assert.equal(found, 'a fourth one');
      return;
    }
    assert.equal(found, last);
  }
});

test('nonsense in the memory is no state, and what is too long is refused', () => {
  const memory = new ArrayBuffer(KEPT_STATE_SIZE);
  const kept = new KeptState(memory);
  assert.throws(() => kept.write(new Uint8Array(2040)), RangeError);
  for (const byte of [1, 2, 0xff]) {
    new Uint8Array(memory).fill(byte);
    assert.equal(kept.read(), undefined);
    new DataView(memory).setUint32(0, 2, true);
    assert.equal(kept.read(), undefined);
  }
});
