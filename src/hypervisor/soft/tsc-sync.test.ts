import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VCPU_AREA } from './layout.ts';
import { TscSync } from './tsc-sync.ts';

const SECOND = 1e9;

test('counters that are set to the same value one after the other are in step', () => {
  const buffer = new SharedArrayBuffer(VCPU_AREA);
  const [first, second] = [new TscSync(buffer), new TscSync(buffer)];
  assert.equal(first.offsetFor(0, 5 * SECOND), -5 * SECOND);
  assert.equal(second.offsetFor(0, 5 * SECOND + 7_000_000), -5 * SECOND);
  // A snapshot is restored: each value is some time older than the moment that it is set at.
  assert.equal(first.offsetFor(100 * SECOND, 9 * SECOND), 91 * SECOND);
  assert.equal(second.offsetFor(100 * SECOND + 3000, 9 * SECOND + 50_000), 91 * SECOND);
});

test('a counter that is set to something else has an offset of its own', () => {
  const sync = new TscSync(new SharedArrayBuffer(VCPU_AREA));
  sync.offsetFor(0, SECOND);
  assert.equal(sync.offsetFor(3 * SECOND, SECOND), 2 * SECOND);
});
