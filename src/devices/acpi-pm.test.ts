import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { AcpiPm, AcpiPmState } from './acpi-pm.ts';
import { hammer, RecordingLine, readReg, writeReg } from './testing.ts';

let line: RecordingLine;
let events: string[];
let state: InstanceType<typeof AcpiPmState>;
let pm: AcpiPm;

beforeEach(() => {
  line = new RecordingLine();
  events = [];
  state = new AcpiPmState(new SharedArrayBuffer(AcpiPmState.byteLength));
  pm = new AcpiPm(state, {
    interrupt: line,
    onPowerOff: () => events.push('off'),
    onSuspend: () => events.push('suspend'),
  });
});

test('the power button interrupts once it is enabled, until its status is cleared', () => {
  pm.pressPowerButton();
  assert.equal(line.level, false);
  writeReg(pm, 2, 0x0100, 2);
  assert.equal(line.level, true);
  assert.equal(readReg(pm, 0, 2), 0x0100);
  writeReg(pm, 0, 0x0200, 2);
  assert.equal(line.level, true);
  writeReg(pm, 0, 0x0100, 2);
  assert.equal(line.level, false);
});

test('status can be cleared and enable written byte by byte', () => {
  writeReg(pm, 3, 0x03);
  pm.pressSleepButton();
  assert.equal(readReg(pm, 2, 2), 0x0300);
  writeReg(pm, 1, 0x02);
  assert.equal(readReg(pm, 0, 2), 0);
});

test('SCI is always enabled and the sleep bit reads as zero', () => {
  assert.equal(readReg(pm, 4, 2), 0x0001);
  writeReg(pm, 4, 0x3c00, 2);
  assert.equal(readReg(pm, 4, 2), 0x1c01);
  assert.deepEqual(events, []);
});

test('S5 powers off, S1 suspends and wakes, other types do nothing', () => {
  writeReg(pm, 4, 0x2000, 2);
  assert.deepEqual(events, ['off']);
  writeReg(pm, 4, 0x2400, 2);
  assert.deepEqual(events, ['off', 'suspend']);
  assert.equal(readReg(pm, 0, 2), 0);
  pm.wake();
  assert.equal(readReg(pm, 0, 2), 0x8000);
  writeReg(pm, 0, 0x8000, 2);
  assert.equal(readReg(pm, 0, 2), 0);
  writeReg(pm, 4, 0x2800, 2);
  assert.deepEqual(events, ['off', 'suspend']);
});

test('without somebody to suspend, S1 wakes at once', () => {
  const alone = new AcpiPm(state, { interrupt: line, onPowerOff: () => {} });
  writeReg(alone, 4, 0x2400, 2);
  assert.equal(readReg(alone, 0, 2), 0x8000);
});

test('general-purpose events', () => {
  pm.raiseGpe(0);
  pm.raiseGpe(255);
  assert.equal(line.level, false);
  writeReg(pm, 8 + 32 + 31, 0x80);
  assert.equal(line.level, true);
  assert.equal(readReg(pm, 8), 1);
  assert.equal(readReg(pm, 8 + 31), 0x80);
  writeReg(pm, 8 + 31, 0x80);
  assert.equal(line.level, false);
  for (const event of [-1, 256, Number.NaN]) assert.throws(() => pm.raiseGpe(event), RangeError);
});

test('no access does harm', () => hammer(pm, 80));
