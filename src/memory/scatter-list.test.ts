import assert from 'node:assert/strict';
import test from 'node:test';
import { ScatterList } from './scatter-list.ts';

function memory(...values: number[]) {
  return { bytes: Uint8Array.from(values), address: 0 };
}

test('a range of a list crosses the borders of its pieces', () => {
  const list = new ScatterList();
  list.add(memory(0, 1, 2, 3), 1, 3);
  list.add(memory(9), 0, 0);
  list.add(memory(4, 5, 6), 0, 2);
  assert.equal(list.length, 5);
  const part = new ScatterList();
  part.addRange(list, 2, 2);
  const bytes = new Uint8Array(8);
  assert.equal(part.copyTo(bytes), 2);
  assert.deepEqual([...bytes.subarray(0, 2)], [3, 4]);
  assert.throws(() => part.addRange(list, 4, 2), RangeError);
});

test('copies in and out start anywhere and end with the shorter side', () => {
  const first = memory(0, 0, 0);
  const second = memory(0, 0, 0);
  const list = new ScatterList();
  list.add(first, 1, 2);
  list.add(second, 0, 3);
  assert.equal(list.copyFrom(Uint8Array.of(7, 8, 9), 1), 3);
  assert.deepEqual([...first.bytes, ...second.bytes], [0, 0, 7, 8, 9, 0]);
  assert.equal(list.copyFrom(Uint8Array.of(1, 2, 3), 3), 2);
  const out = new Uint8Array(10);
  assert.equal(list.copyTo(out, 2), 3);
  assert.deepEqual([...out.subarray(0, 3)], [8, 1, 2]);
  list.zero();
  assert.deepEqual([...first.bytes, ...second.bytes], [0, 0, 0, 0, 0, 0]);
  list.clear();
  assert.equal(list.copyTo(out), 0);
});
