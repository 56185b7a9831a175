import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus, type BusDevice } from './bus.ts';
import { readReg, writeReg } from './testing.ts';

/** Answers with its own number and remembers where it was written. */
function device(number: number, writes: string[] = []): BusDevice {
  return {
    read: (offset, data) => data.fill(number + offset),
    write: (offset, data) => writes.push(`${number}:${offset}:${data.length}`),
  };
}

test('accesses go to the device that claimed the address, with the offset in its range', () => {
  const writes: string[] = [];
  const bus = new Bus();
  bus.insert(device(0x40, writes), 0x60, 4);
  bus.insert(device(0x10, writes), 0x20, 2);
  bus.insert(device(0x80, writes), 0xf_0000_0000, 8);
  assert.equal(readReg(bus, 0x20), 0x10);
  assert.equal(readReg(bus, 0x63), 0x43);
  assert.equal(readReg(bus, 0xf_0000_0007), 0x87);
  writeReg(bus, 0x62, 0, 2);
  assert.deepEqual(writes, ['64:2:2']);
});

test('nobody answers with all ones and swallows writes', () => {
  const bus = new Bus();
  assert.equal(readReg(bus, 0, 4), 0xffff_ffff);
  bus.insert(device(1), 0x20, 2);
  for (const address of [0x1f, 0x22, 0, Number.MAX_SAFE_INTEGER]) {
    assert.equal(readReg(bus, address), 0xff);
    writeReg(bus, address, 0);
  }
});

test('ranges do not overlap, and a range that was given back is free', () => {
  const bus = new Bus();
  bus.insert(device(1), 0x20, 4);
  for (const [start, length] of [
    [0x20, 4],
    [0x1f, 2],
    [0x23, 1],
    [0x10, 0x40],
  ] as const) {
    assert.throws(() => bus.insert(device(2), start, length), RangeError);
  }
  bus.insert(device(3), 0x24, 1);
  bus.remove(0x20);
  bus.remove(0x999);
  assert.equal(readReg(bus, 0x20), 0xff);
  bus.insert(device(2), 0x1f, 2);
  assert.equal(readReg(bus, 0x20), 3);
});
