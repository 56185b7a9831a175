import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileNumbers } from './file-numbers.ts';

function numberOf(numbers: FileNumbers, device: number, ino: bigint): bigint {
  const file = { inoLow: Number(ino & 0xffff_ffffn), inoHigh: Number(ino >> 32n) };
  numbers.replace(device, file);
  assert.ok(
    [file.inoLow, file.inoHigh].every((half) => half === half >>> 0),
    'halves are words',
  );
  return (BigInt(file.inoHigh) << 32n) | BigInt(file.inoLow);
}

/** What file systems have: small numbers, the largest, and those of overlays and network file systems. */
const NUMBERS = [1n, 2n, 256n, 2n ** 32n + 2n, 2n ** 48n - 1n, 2n ** 48n + 2n, 2n ** 63n + 2n, 2n ** 64n - 2n];

function distinct(numbers: FileNumbers): Set<bigint> {
  return new Set(Array.from({ length: 100 }, (_, device) => NUMBERS.map((n) => numberOf(numbers, device, n))).flat());
}

test('files of all file systems have numbers of their own, which stay', () => {
  const numbers = new FileNumbers();
  const first = distinct(numbers);
  assert.equal(first.size, 100 * NUMBERS.length);
  assert.deepEqual(distinct(numbers), first);
});

test('on the file system of the folder itself numbers are those of the host, whenever they are first asked for', () => {
  const numbers = new FileNumbers();
  numberOf(numbers, 1, 2n);
  assert.equal(numberOf(numbers, 0, 2n), 2n);
  assert.equal(numberOf(numbers, 0, 2n ** 48n - 1n), 2n ** 48n - 1n);
});

test('when there are no prefixes any more, numbers still differ', () => {
  const numbers = new FileNumbers(3);
  assert.equal(distinct(numbers).size, 100 * NUMBERS.length);
  assert.ok(numberOf(numbers, 99, 2n) >= 2n ** 63n, 'hashed numbers are not those of a prefix');
  assert.equal(numberOf(numbers, 0, 2n), 2n);
});
