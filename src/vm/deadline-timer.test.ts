import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DeadlineTimer } from './deadline-timer.ts';

function fixture(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
  const device = {
    at: Number.POSITIVE_INFINITY,
    ticks: 0,
    deadline: () => device.at,
    tick: () => {
      device.ticks++;
      device.at = Number.POSITIVE_INFINITY;
    },
  };
  const clock = { now: () => Date.now() * 1e6, wallTime: () => Date.now() };
  return { device, timer: new DeadlineTimer(device, clock), advance: (ms: number) => t.mock.timers.tick(ms) };
}

test('ticks once at the deadline, rounded up', (t) => {
  const { device, timer, advance } = fixture(t);
  device.at = 4_500_000;
  timer.rearm();
  advance(4);
  assert.equal(device.ticks, 0);
  advance(1);
  assert.equal(device.ticks, 1);
  advance(1000);
  assert.equal(device.ticks, 1);
});

test('an earlier deadline replaces a later one, a later one is waited for', (t) => {
  const { device, timer, advance } = fixture(t);
  device.at = 1e9;
  timer.rearm();
  device.at = 10e6;
  timer.rearm();
  device.at = 20e6; // moved by the guest, nobody told
  advance(10);
  assert.equal(device.ticks, 0);
  advance(10);
  assert.equal(device.ticks, 1);
});

test('a deadline beyond what a timer takes, and one in the past', (t) => {
  const { device, timer, advance } = fixture(t);
  device.at = 2 ** 32 * 1e6;
  timer.rearm();
  advance(2 ** 31);
  assert.equal(device.ticks, 0);
  device.at = 0;
  timer.rearm();
  advance(1);
  assert.equal(device.ticks, 1);
});

test('nothing after close', (t) => {
  const { device, timer, advance } = fixture(t);
  device.at = 1e6;
  timer.rearm();
  timer.close();
  timer.rearm();
  advance(10);
  assert.equal(device.ticks, 0);
});
