import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, readReg, writeReg } from '../devices/testing.ts';
import { Pic, PicState } from './pic.ts';

let outputs: boolean[];
let pic: Pic;

function initialize({ icw4 = 1, masterElcr = 0, slaveElcr = 0 } = {}): void {
  writeReg(pic.elcr, 0, masterElcr);
  writeReg(pic.elcr, 1, slaveElcr);
  for (const [chip, base, wiring] of [
    [pic.master, 0x20, 4],
    [pic.slave, 0x28, 2],
  ] as const) {
    writeReg(chip, 0, 0x11);
    for (const word of [base, wiring, icw4]) writeReg(chip, 1, word);
  }
}

function readIsr(chip: 'master' | 'slave'): number {
  writeReg(pic[chip], 0, 0x0b);
  return readReg(pic[chip], 0);
}

function readIrr(chip: 'master' | 'slave'): number {
  writeReg(pic[chip], 0, 0x0a);
  return readReg(pic[chip], 0);
}

function pulse(irq: number): void {
  pic.setLine(irq, true);
  pic.setLine(irq, false);
}

beforeEach(() => {
  outputs = [];
  pic = new Pic(new PicState(new SharedArrayBuffer(PicState.byteLength)), (level) => outputs.push(level));
  initialize();
});

test('an edge is latched, acknowledged with its vector and ended', () => {
  pulse(4);
  assert.deepEqual(outputs, [true]);
  assert.equal(readIrr('master'), 0x10);
  assert.equal(pic.picAcknowledge(), 0x24);
  assert.deepEqual(outputs, [true, false]);
  assert.equal(readIsr('master'), 0x10);
  assert.equal(readIrr('master'), 0);
  writeReg(pic.master, 0, 0x20);
  assert.equal(readIsr('master'), 0);
});

test('a wire that stays high is one edge', () => {
  pic.setLine(4, true);
  pic.picAcknowledge();
  writeReg(pic.master, 0, 0x20);
  pic.setLine(4, true);
  assert.equal(pic.picPending(), false);
});

test('a level-triggered pin asks again after EOI until its wire falls', () => {
  initialize({ masterElcr: 0x20 });
  pic.setLine(5, true);
  assert.equal(pic.picAcknowledge(), 0x25);
  writeReg(pic.master, 0, 0x20);
  assert.equal(pic.picPending(), true);
  pic.setLine(5, false);
  assert.equal(pic.picPending(), false);
});

test('ELCR keeps the system pins edge-triggered', () => {
  writeReg(pic.elcr, 0, 0xffff, 2);
  assert.equal(readReg(pic.elcr, 0, 2), 0xdef8);
});

test('a request of lower priority waits for the EOI of a higher one', () => {
  pulse(1);
  assert.equal(pic.picAcknowledge(), 0x21);
  pulse(3);
  assert.equal(pic.picPending(), false);
  pulse(0);
  assert.equal(pic.picAcknowledge(), 0x20);
  writeReg(pic.master, 0, 0x20);
  assert.equal(readIsr('master'), 0x02);
  writeReg(pic.master, 0, 0x20);
  assert.equal(pic.picAcknowledge(), 0x23);
});

test('the slave comes through the cascade', () => {
  pulse(12);
  assert.equal(pic.picAcknowledge(), 0x2c);
  assert.equal(readIsr('master'), 0x04);
  assert.equal(readIsr('slave'), 0x10);
  writeReg(pic.slave, 0, 0x20);
  writeReg(pic.master, 0, 0x20);
  pulse(9);
  assert.equal(pic.picAcknowledge(), 0x29);
});

test('two requests of the slave both arrive', () => {
  pulse(10);
  pulse(11);
  assert.equal(pic.picAcknowledge(), 0x2a);
  writeReg(pic.slave, 0, 0x20);
  writeReg(pic.master, 0, 0x20);
  assert.equal(pic.picAcknowledge(), 0x2b);
});

test('special fully nested mode lets the slave interrupt itself', () => {
  pulse(12);
  pic.picAcknowledge();
  pulse(8);
  assert.equal(pic.picPending(), false);
  initialize({ icw4: 0x11 });
  pulse(12);
  pic.picAcknowledge();
  pulse(8);
  assert.equal(pic.picAcknowledge(), 0x28);
});

test('a masked pin remembers its request', () => {
  writeReg(pic.master, 1, 0x10);
  assert.equal(readReg(pic.master, 1), 0x10);
  pulse(4);
  assert.equal(pic.picPending(), false);
  writeReg(pic.master, 1, 0);
  assert.equal(pic.picAcknowledge(), 0x24);
});

test('an acknowledge without a request is spurious on pin 7 and sets no ISR bit', () => {
  assert.equal(pic.picAcknowledge(), 0x27);
  assert.equal(readIsr('master'), 0);
});

test('a slave whose request is gone is spurious on pin 15', () => {
  initialize({ slaveElcr: 0x02 });
  writeReg(pic.slave, 1, 0);
  pic.setLine(9, true);
  assert.equal(pic.picPending(), true);
  pic.setLine(9, false);
  assert.equal(pic.picPending(), false);
  assert.equal(pic.picAcknowledge(), 0x27);
});

test('automatic EOI leaves nothing in service', () => {
  initialize({ icw4: 3 });
  pulse(4);
  assert.equal(pic.picAcknowledge(), 0x24);
  assert.equal(readIsr('master'), 0);
  pulse(5);
  assert.equal(pic.picAcknowledge(), 0x25);
});

test('rotation in automatic EOI mode makes the served pin the lowest', () => {
  initialize({ icw4: 3 });
  writeReg(pic.master, 0, 0x80);
  pulse(3);
  pic.picAcknowledge();
  pulse(3);
  pulse(4);
  assert.equal(pic.picAcknowledge(), 0x24);
  writeReg(pic.master, 0, 0x00);
  pulse(0);
  assert.equal(pic.picAcknowledge(), 0x20); // 5, 6, 7, 0, ... 3, 4: still rotated behind pin 4
  assert.equal(pic.picAcknowledge(), 0x23);
});

test('rotate on non-specific EOI', () => {
  pulse(3);
  pic.picAcknowledge();
  writeReg(pic.master, 0, 0xa0);
  pulse(3);
  pulse(7);
  assert.equal(pic.picAcknowledge(), 0x27);
});

test('specific EOI ends just that pin, and rotates if told', () => {
  pulse(5);
  pic.picAcknowledge();
  pulse(2 + 1);
  pic.picAcknowledge();
  writeReg(pic.master, 0, 0x60 | 5);
  assert.equal(readIsr('master'), 0x08);
  writeReg(pic.master, 0, 0xe0 | 3);
  assert.equal(readIsr('master'), 0);
  pulse(3);
  pulse(6);
  assert.equal(pic.picAcknowledge(), 0x26);
});

test('set priority names the lowest pin', () => {
  writeReg(pic.master, 0, 0xc0 | 4);
  pulse(0);
  pulse(5);
  assert.equal(pic.picAcknowledge(), 0x25);
});

test('special mask mode lets pins below a masked one in service through', () => {
  pulse(1);
  pic.picAcknowledge();
  writeReg(pic.master, 1, 0x02);
  pulse(6);
  assert.equal(pic.picPending(), false);
  writeReg(pic.master, 0, 0x68);
  assert.equal(pic.picAcknowledge(), 0x26);
  writeReg(pic.master, 0, 0x48);
});

test('the poll command acknowledges by a read', () => {
  pulse(6);
  writeReg(pic.master, 0, 0x0c);
  assert.equal(readReg(pic.master, 0), 0x86);
  assert.equal(readIsr('master'), 0x40);
  writeReg(pic.master, 0, 0x0c);
  assert.equal(readReg(pic.master, 0) & 0x80, 0);
});

test('initialization forgets latched edges and keeps levels', () => {
  initialize({ masterElcr: 0x20 });
  pic.setLine(4, true);
  pic.setLine(5, true);
  writeReg(pic.master, 1, 0xff);
  writeReg(pic.master, 0, 0x11);
  assert.equal(readIrr('master'), 0x20);
});

test('a single chip without ICW4 expects neither ICW3 nor ICW4', () => {
  writeReg(pic.master, 0, 0x12);
  writeReg(pic.master, 1, 0x40);
  writeReg(pic.master, 1, 0xaa);
  assert.equal(readReg(pic.master, 1), 0xaa);
});

test('wires that do not exist are ignored', () => {
  for (const irq of [-1, 2, 16, 99, Number.NaN]) pic.setLine(irq, true);
  assert.equal(pic.picPending(), false);
});

test('no access does harm', () => {
  for (const ports of [pic.master, pic.slave, pic.elcr]) hammer(ports, 4);
});
