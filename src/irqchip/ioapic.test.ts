import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, readReg, writeReg } from '../devices/testing.ts';
import { Ioapic, IoapicState } from './ioapic.ts';

let sent: [number, number][];
let routes: [number, number, number][];
let ioapic: Ioapic;

function readIndexed(index: number): number {
  writeReg(ioapic, 0, index, 4);
  return readReg(ioapic, 0x10, 4);
}

function writeIndexed(index: number, value: number): void {
  writeReg(ioapic, 0, index, 4);
  writeReg(ioapic, 0x10, value, 4);
}

function route(pin: number, low: number, destination = 0): void {
  writeIndexed(0x11 + 2 * pin, destination * 0x100_0000);
  writeIndexed(0x10 + 2 * pin, low);
}

const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const REMOTE_IRR = 0x4000;

let ended: number[];
let onEnd: (pin: number) => void;

beforeEach(() => {
  sent = [];
  const state = new IoapicState(new SharedArrayBuffer(IoapicState.byteLength));
  routes = [];
  ended = [];
  ioapic = new Ioapic(state, {
    signalMsi: (address, data) => sent.push([address, data]),
    onRoute: (...route) => routes.push(route),
    onEndOfInterrupt: (pin) => {
      ended.push(pin);
      onEnd(pin);
    },
  });
  onEnd = () => {};
});

test('who drives a wire hears of the end of its interrupt, in time to lower it', () => {
  writeIndexed(0x10 + 2 * 9, LEVEL | 0x51);
  writeIndexed(0x10 + 2 * 8, 0x51);
  ioapic.setLine(9, true);
  ioapic.setLine(8, true);
  assert.equal(sent.length, 2);
  ioapic.endOfInterrupt(0x52);
  assert.deepEqual(ended, []);
  onEnd = () => ioapic.setLine(9, false);
  ioapic.endOfInterrupt(0x51);
  assert.deepEqual([ended, sent.length], [[9], 2]);
  ioapic.setLine(9, true);
  onEnd = () => {
    ioapic.setLine(9, false);
    ioapic.setLine(9, true); // it has more to say
  };
  writeReg(ioapic, 0x40, 0x51, 4);
  assert.deepEqual([ended, sent.length], [[9, 9], 4]);
});

test('identification', () => {
  assert.equal(readIndexed(1), 0x0017_0020);
  writeIndexed(0, 0xff00_0000);
  assert.equal(readIndexed(0), 0x0f00_0000);
  assert.equal(readIndexed(2), 0x0f00_0000);
  writeIndexed(1, 0);
  assert.equal(readIndexed(1), 0x0017_0020);
});

test('every pin starts masked', () => {
  for (let pin = 0; pin < 24; pin++) {
    assert.equal(readIndexed(0x10 + 2 * pin), MASKED);
    ioapic.setLine(pin, true);
  }
  assert.deepEqual(sent, []);
});

test('redirection entries keep what software may write', () => {
  route(3, 0xffff_ffff, 0xff);
  assert.equal(readIndexed(0x16), 0x0001_afff);
  assert.equal(readIndexed(0x17), 0xff00_0000);
});

test('a rising edge sends once', () => {
  route(4, 0x31, 2);
  ioapic.setLine(4, true);
  ioapic.setLine(4, true);
  ioapic.setLine(4, false);
  assert.deepEqual(sent, [[0xfee0_2000, 0x4031]]);
  ioapic.setLine(4, true);
  assert.equal(sent.length, 2);
});

test('logical destination and delivery mode travel in the message', () => {
  route(4, 0x0931, 0x81);
  ioapic.setLine(4, true);
  assert.deepEqual(sent, [[0xfee8_1004, 0x4131]]);
});

test('an edge on a masked pin is lost', () => {
  route(4, 0x31 | MASKED);
  ioapic.setLine(4, true);
  route(4, 0x31);
  assert.deepEqual(sent, []);
});

test('a level sends once until its EOI and then again while the wire is up', () => {
  route(9, 0x39 | LEVEL);
  ioapic.setLine(9, true);
  ioapic.setLine(9, true);
  assert.deepEqual(sent, [[0xfee0_0000, 0xc039]]);
  assert.equal(readIndexed(0x22) & REMOTE_IRR, REMOTE_IRR);
  ioapic.endOfInterrupt(0x38);
  assert.equal(sent.length, 1);
  ioapic.endOfInterrupt(0x39);
  assert.equal(sent.length, 2);
  ioapic.setLine(9, false);
  ioapic.endOfInterrupt(0x39);
  assert.equal(sent.length, 2);
  assert.equal(readIndexed(0x22) & REMOTE_IRR, 0);
});

test('the EOI register ends too', () => {
  route(9, 0x39 | LEVEL);
  ioapic.setLine(9, true);
  writeReg(ioapic, 0x40, 0x39, 4);
  assert.equal(sent.length, 2);
});

test('pins that share a vector both send again', () => {
  route(9, 0x39 | LEVEL);
  route(10, 0x39 | LEVEL);
  ioapic.setLine(9, true);
  ioapic.setLine(10, true);
  ioapic.endOfInterrupt(0x39);
  assert.equal(sent.length, 4);
});

test('a level on a masked pin sends when it is unmasked', () => {
  route(9, 0x39 | LEVEL | MASKED);
  ioapic.setLine(9, true);
  assert.deepEqual(sent, []);
  route(9, 0x39 | LEVEL);
  assert.equal(sent.length, 1);
});

test('masking keeps remote IRR, a turn to edge clears it', () => {
  route(9, 0x39 | LEVEL);
  ioapic.setLine(9, true);
  writeIndexed(0x22, 0x39 | LEVEL | MASKED);
  assert.equal(readIndexed(0x22) & REMOTE_IRR, REMOTE_IRR);
  writeIndexed(0x22, 0x39 | MASKED);
  writeIndexed(0x22, 0x39 | LEVEL | MASKED);
  assert.equal(readIndexed(0x22) & REMOTE_IRR, 0);
});

test('an EOI while masked does not send', () => {
  route(9, 0x39 | LEVEL);
  ioapic.setLine(9, true);
  writeIndexed(0x22, 0x39 | LEVEL | MASKED);
  ioapic.endOfInterrupt(0x39);
  assert.equal(sent.length, 1);
});

test('an NMI is an edge even if its entry says level', () => {
  route(9, 0x0400 | LEVEL);
  ioapic.setLine(9, true);
  ioapic.setLine(9, true);
  assert.deepEqual(sent, [[0xfee0_0000, 0x4400]]);
});

test('pins and indices that do not exist', () => {
  for (const pin of [-1, 24, 31, 32, 1e9, Number.NaN]) ioapic.setLine(pin, true);
  for (const index of [3, 0x0f, 0x40, 0xff]) {
    writeIndexed(index, 0xffff_ffff);
    assert.equal(readIndexed(index), 0);
  }
  assert.deepEqual(sent, []);
});

test('narrow and misaligned writes change nothing', () => {
  writeIndexed(0, 0x0500_0000);
  writeReg(ioapic, 0x10, 0xff);
  writeReg(ioapic, 0x12, 0xffff, 2);
  writeReg(ioapic, 0x13, 0xffff_ffff, 4);
  assert.equal(readIndexed(0), 0x0500_0000);
  assert.equal(readReg(ioapic, 0x13), 0x05);
});

test('no access does harm', () => hammer(ioapic, 0x100));

test('tells what an unmasked pin will send, whichever half of its entry changes', () => {
  route(9, 0x39 | LEVEL | MASKED, 2);
  assert.equal(routes.length, 0);
  writeIndexed(0x10 + 2 * 9, 0x39 | LEVEL);
  writeIndexed(0x11 + 2 * 9, 0x300_0000);
  assert.deepEqual(
    routes.map(([pin, address, data]) => [pin, address >>> 0, data & 0x80ff]),
    [
      [9, 0xfee0_2000, 0x8039],
      [9, 0xfee0_3000, 0x8039],
    ],
  );
  assert.deepEqual(sent, []);
});
