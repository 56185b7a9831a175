import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Cmos, CmosState } from './cmos.ts';
import { hammer, ManualClock, RecordingLine, readReg, writeReg } from './testing.ts';

const GIB = 0x4000_0000;

let clock: ManualClock;
let line: RecordingLine;
let cmos: Cmos;
let rearmed: number;

function get(index: number): number {
  writeReg(cmos, 0, index);
  return readReg(cmos, 1);
}

function set(index: number, value: number): void {
  writeReg(cmos, 0, index);
  writeReg(cmos, 1, value);
}

/** Moves time on, ticking at every deadline on the way, as the timer thread does. */
function run(ns: number): void {
  const end = clock.time + ns;
  while (cmos.deadline() <= end) {
    clock.advance(cmos.deadline() - clock.time);
    cmos.tick();
  }
  clock.advance(end - clock.time);
}

function time(): number[] {
  return [0x32, 9, 8, 7, 6, 4, 2, 0].map(get);
}

beforeEach(() => {
  clock = new ManualClock();
  clock.wall = Date.UTC(2024, 1, 29, 23, 59, 58); // a Thursday
  line = new RecordingLine();
  rearmed = 0;
  const state = new CmosState(new SharedArrayBuffer(CmosState.byteLength));
  const deps = { clock, interrupt: line, memoryBelow4G: 2 * GIB, memoryAbove4G: 5 * GIB, rearm: () => rearmed++ };
  cmos = new Cmos(state, deps);
});

test('the time in BCD, over the end of a leap day', () => {
  assert.deepEqual(time(), [0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58]);
  clock.advance(2e9);
  assert.deepEqual(time(), [0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x00]);
});

test('binary and 12-hour modes', () => {
  set(0x0b, 0x06);
  assert.deepEqual(time(), [20, 24, 2, 29, 5, 23, 59, 58]);
  set(0x0b, 0x00);
  assert.equal(get(4), 0x91); // 11 p.m.
  clock.advance(2e9);
  assert.equal(get(4), 0x12); // midnight
});

test('a guest sets the time and it runs on from there', () => {
  set(0x0b, 0x82);
  for (const [index, value] of [
    [0x32, 0x19],
    [9, 0x99],
    [8, 0x12],
    [7, 0x31],
    [4, 0x23],
    [2, 0x59],
    [0, 0x59],
  ]) {
    set(index!, value!);
  }
  clock.advance(60e9);
  assert.deepEqual(time(), [0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59]); // SET holds it
  set(0x0b, 0x02);
  clock.advance(1e9);
  assert.deepEqual(time(), [0x20, 0x00, 0x01, 0x01, 7, 0, 0, 0]);
});

test('update in progress at the end of each second', () => {
  assert.equal(get(0x0a), 0x26);
  clock.advance(999.8e6);
  assert.equal(get(0x0a), 0xa6);
  clock.advance(0.2e6);
  assert.equal(get(0x0a), 0x26);
});

test('update interrupts come each second until they are off', () => {
  set(0x0b, 0x12);
  assert.ok(rearmed > 0);
  run(1e9);
  assert.equal(line.level, true);
  assert.equal(get(0x0c), 0x90);
  assert.equal(line.level, false);
  assert.equal(get(0x0c), 0);
  set(0x0b, 0x02);
  assert.equal(cmos.deadline(), Number.POSITIVE_INFINITY);
});

test('an alarm at an exact time', () => {
  set(0x05, 0x00);
  set(0x03, 0x00);
  set(0x01, 0x03);
  set(0x0b, 0x22);
  run(4.9e9);
  assert.equal(line.rises, 0);
  run(0.2e9);
  assert.equal(line.rises, 1);
  assert.equal(get(0x0c), 0xb0);
  run(3600e9);
  assert.equal(line.rises, 1);
});

test('wildcards make the alarm match each second, and day and month restrict it', () => {
  for (const index of [1, 3, 5]) set(index, 0xff);
  set(0x0b, 0x22);
  run(1e9);
  assert.equal(get(0x0c) & 0x20, 0x20);
  set(0x0d, 0x15);
  set(0x33, 0x07);
  run(3e9);
  assert.equal(get(0x0c) & 0x20, 0);
  assert.equal(get(0x0d), 0x95);
});

test('an alarm that passed while nobody ticked still rings, once', () => {
  for (const [index, value] of [
    [5, 0x00],
    [3, 0x05],
    [1, 0x00],
  ])
    set(index!, value!);
  set(0x0b, 0x22);
  clock.advance(3600e9);
  cmos.tick();
  assert.equal(line.rises, 1);
});

test('periodic interrupts, at most 1,024 a second', () => {
  set(0x0b, 0x42);
  run(0.99e6);
  assert.equal(get(0x0c), 0xc0);
  set(0x0a, 0x2f); // 2 Hz
  run(0.5e9);
  assert.equal(get(0x0c), 0xc0);
  set(0x0a, 0x23); // 8,192 Hz
  assert.ok(cmos.deadline() - clock.time > 100_000);
  set(0x0a, 0x20);
  assert.equal(cmos.deadline(), Number.POSITIVE_INFINITY);
});

test('memory sizes in units of 64 KiB', () => {
  assert.equal(get(0x34) | (get(0x35) << 8), (2 * GIB - 0x100_0000) / 0x1_0000);
  assert.equal(get(0x5b) | (get(0x5c) << 8) | (get(0x5d) << 16), (5 * GIB) / 0x1_0000);
});

test('RAM keeps what is written, status D is valid, the index ignores the NMI bit', () => {
  set(0x0f, 0xaa);
  assert.equal(get(0x8f), 0xaa);
  assert.equal(get(0x0d), 0x80);
  assert.equal(readReg(cmos, 0), 0xff);
});

test('nonsense in the time registers does not stop the clock', () => {
  set(0x0b, 0x06);
  for (let i = 0; i < 2000; i++) for (const index of [0, 2, 4, 7, 8, 9, 0x32]) set(index, 0xff);
  set(0x0b, 0x12);
  assert.ok(Number.isFinite(cmos.deadline()));
});

test('no access does harm', () => {
  hammer(cmos, 4);
  for (let index = 0; index < 128; index++) for (const value of [0, 0x55, 0xff]) set(index, value);
  assert.ok(!Number.isNaN(cmos.deadline()));
});
