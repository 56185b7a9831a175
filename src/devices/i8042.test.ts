import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { I8042, I8042State } from './i8042.ts';
import { SystemControlA, SystemControlAState } from './reset-ports.ts';
import { hammer, RecordingLine, readReg, writeReg } from './testing.ts';

let resets: number;
let line: RecordingLine;
let i8042: I8042;

beforeEach(() => {
  resets = 0;
  line = new RecordingLine();
  i8042 = new I8042(new I8042State(new SharedArrayBuffer(I8042State.byteLength)), line, () => resets++);
});

function command(value: number, data?: number): number {
  writeReg(i8042, 4, value);
  if (data !== undefined) writeReg(i8042, 0, data);
  return readReg(i8042, 4) & 1 ? readReg(i8042, 0) : -1;
}

test('0xfe resets, other pulses do not', () => {
  command(0xff);
  assert.equal(resets, 0);
  command(0xfe);
  assert.equal(resets, 1);
});

test('self tests pass and the auxiliary port is missing', () => {
  assert.equal(command(0xaa), 0x55);
  assert.equal(readReg(i8042, 4) & 4, 4);
  assert.equal(command(0xab), 0x00);
  assert.notEqual(command(0xa9), 0x00);
});

test('the control byte can be written and read', () => {
  assert.equal(command(0x60, 0x47), -1);
  assert.equal(command(0x20), 0x47);
  command(0xa7);
  command(0xad);
  assert.equal(command(0x20), 0x77);
  command(0xa8);
  command(0xae);
  assert.equal(command(0x20), 0x47);
});

test('missing devices answer at once', () => {
  writeReg(i8042, 0, 0xff);
  assert.equal(readReg(i8042, 4) & 0x21, 1);
  assert.equal(readReg(i8042, 0), 0xfe);
  writeReg(i8042, 4, 0xd4);
  writeReg(i8042, 0, 0xf2);
  assert.equal(readReg(i8042, 4) & 0x21, 0x21);
  assert.equal(readReg(i8042, 0), 0xfe);
  writeReg(i8042, 4, 0xd3);
  writeReg(i8042, 0, 0x5a);
  assert.equal(readReg(i8042, 4) & 0x21, 1); // a loop through an auxiliary port would have set bit 5
});

test('answers interrupt if the control byte lets them', () => {
  writeReg(i8042, 0, 0xf2);
  assert.equal(line.level, false);
  readReg(i8042, 0);
  command(0x60, 0x01);
  writeReg(i8042, 0, 0xf2);
  assert.equal(line.level, true);
  readReg(i8042, 0);
  assert.equal(line.level, false);
});

test('the output port has A20 and the reset line', () => {
  assert.equal(command(0xd0), 3);
  command(0xd1, 1);
  assert.equal(command(0xd0), 1);
  command(0xd1, 0);
  assert.equal(resets, 1);
});

test('port 0x92: A20 starts open, bit 0 resets', () => {
  const port = new SystemControlA(
    new SystemControlAState(new SharedArrayBuffer(SystemControlAState.byteLength)),
    () => resets++,
  );
  assert.equal(readReg(port, 0), 2);
  writeReg(port, 0, 0);
  assert.equal(readReg(port, 0), 0);
  writeReg(port, 0, 3);
  assert.equal(readReg(port, 0), 2);
  assert.equal(resets, 1);
  hammer(port, 4);
});

test('no access does harm', () => hammer(i8042, 8));
