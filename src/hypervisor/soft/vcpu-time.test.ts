import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TimedDevice } from '../../devices/device.ts';
import { ManualClock } from '../../devices/testing.ts';
import { MAX_OVERSHOOT } from './engine.ts';
import { DETERMINISTIC_EPOCH, InstructionClock } from './instruction-clock.ts';
import { HostTime, InstructionTime, type Sleeper, type VcpuTime } from './vcpu-time.ts';

const NEVER = Number.POSITIVE_INFINITY;

class Alarm implements TimedDevice {
  at = NEVER;
  ticks = 0;

  deadline(): number {
    return this.at;
  }

  tick(): void {
    this.ticks++;
    this.at = NEVER;
  }
}

function instructionTime() {
  const clock = new InstructionClock(new SharedArrayBuffer(65536));
  const time = new InstructionTime(clock);
  const alarm = new Alarm();
  time.add(alarm);
  return { clock, time, alarm };
}

/** Remembers how long it was to sleep. */
class SleepLog implements Sleeper {
  readonly times: number[] = [];

  sleep(milliseconds: number): void {
    this.times.push(milliseconds);
  }
}

test('the clock counts instructions, with those that are under way, and dates begin at a fixed one', () => {
  const { clock } = instructionTime();
  assert.deepEqual([clock.now(), clock.wallTime()], [0, DETERMINISTIC_EPOCH]);
  clock.advance(2_000_000);
  clock.sinceEntry = () => 500_000;
  assert.deepEqual([clock.now(), clock.wallTime()], [2_500_000, DETERMINISTIC_EPOCH + 2.5]);
});

test('the budget ends so long before a deadline that the deadline cannot be missed; then one instruction at a time', () => {
  const { clock, time, alarm } = instructionTime();
  alarm.at = 10_000;
  const budget = time.plan();
  assert.equal(budget, 10_000 - MAX_OVERSHOOT);
  time.executed(budget + MAX_OVERSHOOT);
  time.tick();
  assert.deepEqual([clock.now(), alarm.ticks], [10_000, 1]);

  alarm.at = clock.now() + MAX_OVERSHOOT;
  assert.equal(time.plan(), 0);
  time.executed(MAX_OVERSHOOT - 1);
  time.tick();
  assert.equal(alarm.ticks, 1);
  assert.equal(time.plan(), 0);
  time.executed(1);
  time.tick();
  assert.equal(alarm.ticks, 2);
});

test('a vCPU that runs past a deadline is an error of ours', () => {
  const { time, alarm } = instructionTime();
  alarm.at = 10_000;
  time.plan();
  assert.throws(() => time.executed(10_001), /run 1 instructions past a deadline/);
});

test('a deadline that comes nearer is noticed', () => {
  for (const time of [instructionTime().time, new HostTime(new ManualClock())] as VcpuTime[]) {
    const alarm = new Alarm();
    time.add(alarm);
    time.plan(false);
    assert.equal(time.isSooner(), false);
    alarm.at = 5000;
    assert.equal(time.isSooner(), true);
    time.plan(false);
    assert.equal(time.isSooner(), false);
  }
});

test('a halted vCPU is at its next deadline at once; without one it waits to be called', () => {
  const { clock, time, alarm } = instructionTime();
  alarm.at = 3e12 + 0.5;
  const log = new SleepLog();
  time.wait(log);
  assert.deepEqual([clock.now(), log.times], [3e12 + 1, []]);
  alarm.at = NEVER;
  time.wait(log);
  assert.deepEqual([clock.now(), log.times], [3e12 + 1, [NEVER]]);
});

test('a pause comes at the first look at its time or later, once', () => {
  const { time, clock } = instructionTime();
  let pauses = 0;
  time.pauseNear(100, () => pauses++);
  assert.equal(time.plan(), 100);
  time.executed(99);
  time.tick();
  assert.equal(pauses, 0);
  assert.equal(time.plan(), 1);
  time.executed(40);
  time.tick();
  time.tick();
  assert.equal(pauses, 1);
  time.pauseNear(1000, () => pauses++);
  time.wait(new SleepLog());
  time.tick();
  assert.deepEqual([clock.now(), pauses], [1000, 2]);
});

test('real time: devices are ticked when they are due, and the budget is made for the nearest deadline', () => {
  const clock = new ManualClock();
  const time = new HostTime(clock);
  const alarm = new Alarm();
  time.add(alarm);
  const longest = time.plan(false);
  assert.ok(time.plan(true) < longest);
  alarm.at = 100_000;
  assert.ok(time.plan(false) < longest);
  time.tick();
  assert.equal(alarm.ticks, 0);
  clock.advance(100_000);
  time.tick();
  time.tick();
  assert.equal(alarm.ticks, 1);
});
