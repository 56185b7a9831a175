import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedStruct } from './shared-struct.ts';

const State = sharedStruct({ index: 'u8', fifo: ['u8', 3], deadline: 'f64', word: 'u32' });

test('two views of the same bytes see each other', () => {
  const buffer = new SharedArrayBuffer(State.byteLength);
  const a = new State(buffer);
  const b = new State(buffer);
  a.index = 0x1ff;
  a.fifo[2] = 7;
  a.deadline = Number.POSITIVE_INFINITY;
  a.word = 0xffff_ffff;
  assert.equal(b.index, 0xff);
  assert.equal(b.fifo[2], 7);
  assert.equal(b.deadline, Number.POSITIVE_INFINITY);
  assert.equal(b.word, 0xffff_ffff);
});

test('fields do not overlap and instances can stand side by side', () => {
  const buffer = new SharedArrayBuffer(2 * State.byteLength);
  const a = new State(buffer);
  const b = new State(buffer, State.byteLength);
  a.bytes.fill(0xff, 8);
  assert.equal(a.index, 0xff);
  assert.equal(b.index, 0);
  assert.equal(State.byteLength % 8, 0);
});

test('the lock excludes and can be taken again after release', () => {
  const state = new State(new SharedArrayBuffer(State.byteLength));
  state.lock.acquire();
  state.lock.release();
  state.lock.acquire();
  state.lock.release();
});
