import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, ManualClock, RecordingLine, readReg, writeReg } from '../devices/testing.ts';
import { PIT_HZ, Pit, PitState } from './pit.ts';

let clock: ManualClock;
let line: RecordingLine;
let rearmed: number;
let pit: Pit;

/** Moves the clock by `n` input clocks of the PIT (and a little, so that rounding does not matter). */
function clocks(n: number): void {
  clock.time = Math.ceil(clock.time + (n * 1e9) / PIT_HZ);
}

function program(channel: number, mode: number, count: number, bcd = 0): void {
  writeReg(pit, 3, (channel << 6) | 0x30 | (mode << 1) | bcd);
  writeReg(pit, channel, count & 0xff);
  writeReg(pit, channel, count >> 8);
}

function readCount(channel: number): number {
  writeReg(pit, 3, channel << 6);
  const low = readReg(pit, channel);
  return low | (readReg(pit, channel) << 8);
}

function status(channel: number): number {
  writeReg(pit, 3, 0xe0 | (2 << channel));
  return readReg(pit, channel);
}

function out2(): boolean {
  return (readReg(pit.systemControlB, 0) & 0x20) !== 0;
}

function gate2(level: boolean): void {
  writeReg(pit.systemControlB, 0, level ? 1 : 0);
}

beforeEach(() => {
  clock = new ManualClock();
  line = new RecordingLine();
  rearmed = 0;
  const state = new PitState(new SharedArrayBuffer(PitState.byteLength));
  pit = new Pit(state, { clock, interrupt: line, rearm: () => rearmed++ });
});

test('nothing is due before counter 0 is programmed', () => {
  assert.equal(pit.deadline(), Number.POSITIVE_INFINITY);
  pit.tick();
  assert.equal(line.rises, 0);
});

test('mode 2 interrupts at each period', () => {
  program(0, 2, 1193);
  assert.equal(rearmed, 1);
  const first = pit.deadline();
  assert.ok(Math.abs(first - 999_847) < 2);
  const before = line.rises;
  for (let i = 1; i <= 5; i++) {
    clock.time = pit.deadline();
    pit.tick();
    assert.equal(line.rises, before + i);
  }
  assert.ok(Math.abs(pit.deadline() - 6 * first) < 6);
});

test('a tick that comes early does nothing, one that comes late is one interrupt', () => {
  program(0, 2, 11932);
  const before = line.rises;
  pit.tick();
  assert.equal(line.rises, before);
  clock.time = pit.deadline() * 10;
  pit.tick();
  assert.equal(line.rises, before + 1);
  assert.ok(pit.deadline() > clock.time);
});

test('mode 0 interrupts once', () => {
  program(0, 0, 100);
  assert.equal(line.level, false);
  clock.time = pit.deadline();
  pit.tick();
  assert.equal(line.level, true);
  assert.equal(pit.deadline(), Number.POSITIVE_INFINITY);
});

test('mode 4 strobes once after the count', () => {
  program(0, 4, 1000);
  const before = line.rises;
  clock.time = pit.deadline();
  pit.tick();
  assert.equal(line.rises, before + 1);
  assert.equal(pit.deadline(), Number.POSITIVE_INFINITY);
});

test('counter 0 never starts in modes 1 and 5: its gate does not rise', () => {
  for (const mode of [1, 5]) {
    program(0, mode, 10);
    assert.equal(pit.deadline(), Number.POSITIVE_INFINITY);
  }
});

test('a period that would drown the host is stretched', () => {
  program(0, 2, 1);
  clock.time = pit.deadline();
  pit.tick();
  assert.equal(pit.deadline(), clock.time + 50_000);
});

test('a count of zero is 65536', () => {
  program(0, 2, 0);
  assert.equal(readCount(0), 0);
  clocks(1);
  assert.equal(readCount(0), 0xffff);
});

test('a latched count stays while the counter runs', () => {
  program(1, 2, 1000);
  clocks(10);
  writeReg(pit, 3, 0x40);
  clocks(10);
  writeReg(pit, 3, 0x40); // a second latch is ignored
  assert.equal(readReg(pit, 1), 990 & 0xff);
  assert.equal(readReg(pit, 1), 990 >> 8);
  assert.equal(readCount(1), 980);
});

test('low-byte and high-byte access', () => {
  writeReg(pit, 3, 0x54); // counter 1, low byte, mode 2
  writeReg(pit, 1, 0x34);
  assert.equal(readReg(pit, 1), 0x34);
  writeReg(pit, 3, 0x64); // high byte
  writeReg(pit, 1, 0x12);
  assert.equal(readReg(pit, 1), 0x12);
});

test('without a latch the two bytes alternate', () => {
  program(1, 2, 0x1234);
  assert.equal(readReg(pit, 1), 0x34);
  assert.equal(readReg(pit, 1), 0x12);
  assert.equal(readReg(pit, 1), 0x34);
});

test('BCD counts in decimal', () => {
  program(1, 2, 0x1000, 1);
  clocks(1);
  assert.equal(readCount(1), 0x0999);
});

test('read-back latches status and counts of several counters', () => {
  program(0, 2, 500);
  program(2, 3, 500);
  writeReg(pit, 3, 0xc0 | 0x0a);
  assert.equal(readReg(pit, 0), 0x80 | 0x34);
  assert.equal(readReg(pit, 0) | (readReg(pit, 0) << 8), 500);
  assert.equal(readReg(pit, 2), 0x80 | 0x36);
});

test('the null count bit lasts from the mode to the count', () => {
  writeReg(pit, 3, 0x34);
  assert.equal(status(0) & 0x40, 0x40);
  writeReg(pit, 0, 1);
  assert.equal(status(0) & 0x40, 0x40);
  writeReg(pit, 0, 1);
  assert.equal(status(0) & 0x40, 0);
});

test('mode 0 on counter 2: output rises at the count, the gate pauses', () => {
  gate2(true);
  program(2, 0, 100);
  assert.equal(out2(), false);
  clocks(60);
  gate2(false);
  clocks(1000);
  assert.equal(readCount(2), 40);
  assert.equal(out2(), false);
  gate2(true);
  clocks(41);
  assert.equal(out2(), true);
});

test('mode 1: a one-shot that the gate starts', () => {
  program(2, 1, 100);
  assert.equal(out2(), true);
  gate2(true);
  assert.equal(out2(), false);
  clocks(50);
  gate2(false);
  gate2(true); // retriggered
  clocks(99);
  assert.equal(out2(), false);
  clocks(2);
  assert.equal(out2(), true);
});

test('mode 3: a square wave that a low gate holds high', () => {
  gate2(true);
  program(2, 3, 100);
  assert.equal(out2(), true);
  clocks(51);
  assert.equal(out2(), false);
  gate2(false);
  assert.equal(out2(), true);
  gate2(true);
  clocks(10);
  assert.equal(readCount(2), 80);
});

test('mode 5: a strobe after the gate', () => {
  program(2, 5, 10);
  assert.equal(out2(), true);
  gate2(true);
  clocks(10);
  assert.equal(out2(), false);
  clocks(1);
  assert.equal(out2(), true);
});

test('port 0x61 keeps its two bits and toggles refresh', () => {
  writeReg(pit.systemControlB, 0, 0xff);
  assert.equal(readReg(pit.systemControlB, 0) & 0x0f, 0x03);
  const before = readReg(pit.systemControlB, 0) & 0x10;
  clock.advance(15_085);
  assert.notEqual(readReg(pit.systemControlB, 0) & 0x10, before);
});

test('no access does harm', () => {
  hammer(pit, 8);
  hammer(pit.systemControlB, 4);
});
