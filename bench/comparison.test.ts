import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Comparison, comparisonRow, meanSpeed, speedRatio, timeRatio } from './comparison.ts';

const samples = (...seconds: number[]) => seconds.map((s) => ({ seconds: s, cpuSeconds: 2 * s }));

test('ratios are taken within the pairs, then the median of them', () => {
  // The machine was slow during the second pair, and one of the third was disturbed.
  const comparison: Comparison = { name: 'a', ours: samples(1, 10, 9), theirs: samples(2, 20, 3) };
  assert.equal(speedRatio(comparison), 2);
  assert.equal(timeRatio(comparison, 'seconds'), 0.5);
  assert.equal(timeRatio(comparison, 'cpuSeconds'), 0.5);
});

test('the mean is geometric and leaves out what is extra', () => {
  const of = (speed: number, extra = false): Comparison => ({
    name: `${speed}`,
    ours: samples(1),
    theirs: samples(speed),
    extra,
  });
  assert.ok(Math.abs(meanSpeed([of(4), of(0.25), of(8), of(1000, true)]) - 2) < 1e-12);
});

test('a row says what is not in the mean', () => {
  const comparison: Comparison = { name: 'a', ours: samples(1), theirs: samples(2) };
  assert.deepEqual(comparisonRow(comparison), [
    'a',
    '1.00 (1.00-1.00)',
    '2.00 (2.00-2.00)',
    '2.00 (2.00-2.00)',
    '4.00 (4.00-4.00)',
    '2.00',
  ]);
  assert.match(comparisonRow({ ...comparison, extra: true })[0]!, /^a \(not in the mean\)$/);
});
