import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GOALS, verdict } from './goals.ts';

test('less time is better', () => {
  const judge = (value: number) => verdict(GOALS['boot-wall'], value);
  assert.deepEqual([0.9, 1, 1.2, 1.5, 1.6].map(judge), [
    'aim reached',
    'aim reached',
    'floor reached',
    'floor reached',
    'below the floor',
  ]);
});

test('more speed is better', () => {
  const judge = (value: number) => verdict(GOALS.float, value);
  assert.deepEqual([1.4, 1.5, 4.9, 5].map(judge), ['below the floor', 'floor reached', 'floor reached', 'aim reached']);
});

test('a number that could not be measured reaches nothing', () => {
  for (const goal of Object.values(GOALS)) assert.equal(verdict(goal, Number.NaN), 'below the floor');
});
