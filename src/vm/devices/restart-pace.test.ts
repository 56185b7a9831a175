import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RestartPace } from './restart-pace.ts';

test('a device is started again at once, and one that ends again and again every five seconds at last', () => {
  const pace = new RestartPace();
  const delays = Array.from({ length: 10 }, () => pace.delay(100));
  assert.deepEqual(delays, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
});

test('one that has run for a while has recovered', () => {
  const pace = new RestartPace();
  for (let i = 0; i < 10; i++) pace.delay(0);
  assert.equal(pace.delay(9_000), 5000);
  assert.equal(pace.delay(11_000), 50);
  assert.equal(pace.delay(0), 100);
});
