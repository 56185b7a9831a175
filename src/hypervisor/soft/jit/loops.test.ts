import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findLoops, itemsOf } from './loops.ts';

const found = (...jumps: (readonly [number, number])[]) => findLoops(new Map(jumps)).map((l) => `${l.first}-${l.last}`);

test('loops apart and within each other stay as they are', () => {
  assert.deepEqual(found([0, 1], [3, 3], [4, 6]), ['0-1', '3-3', '4-6']);
  assert.deepEqual(found([0, 6], [1, 3], [2, 2]), ['0-6', '1-3', '2-2']);
});

test('a loop that begins in another one and ends behind it takes that with it', () => {
  assert.deepEqual(found([0, 2], [1, 4]), ['0-4', '1-4']);
  assert.deepEqual(found([0, 1], [1, 3], [3, 5]), ['0-5', '1-5', '3-5']);
});

test('a stretch of blocks consists of loops and of the blocks between', () => {
  const loops = findLoops(
    new Map([
      [1, 3],
      [2, 2],
      [5, 5],
    ]),
  );
  assert.deepEqual(itemsOf(loops, 0, 6), [
    { first: 0, last: 0 },
    { first: 1, last: 3, loop: loops[0] },
    { first: 4, last: 4 },
    { first: 5, last: 5, loop: loops[2] },
    { first: 6, last: 6 },
  ]);
  assert.deepEqual(itemsOf(loops, 1, 3, loops[0]), [
    { first: 1, last: 1 },
    { first: 2, last: 2, loop: loops[1] },
    { first: 3, last: 3 },
  ]);
});
