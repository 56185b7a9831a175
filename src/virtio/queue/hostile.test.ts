import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MockGuest } from '../testing/mock-guest.ts';
import { PackedDriver } from '../testing/packed-driver.ts';
import { SplitDriver } from '../testing/split-driver.ts';
import { DESCRIPTOR_SIZE, DescriptorChain } from './descriptor-chain.ts';
import { DeviceRegion } from './device-memory.ts';
import { inflightSize } from './inflight-size.ts';
import { PackedInflight } from './packed-inflight.ts';
import { PACKED_START, PackedQueue } from './packed-queue.ts';
import { SplitInflight } from './split-inflight.ts';
import { SplitQueue } from './split-queue.ts';
import type { Virtqueue } from './virtqueue.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;
const SIZE = 8;

function split(features = { eventIdx: false, indirect: true }) {
  const guest = new MockGuest();
  return { guest, driver: new SplitDriver(guest, SIZE, features) };
}

function packed(features = { eventIdx: false, indirect: true }) {
  const guest = new MockGuest();
  return { guest, driver: new PackedDriver(guest, SIZE, features) };
}

/** The queue has no request, for this reason, and never has one again. */
function breaks(queue: Virtqueue, reason: RegExp): void {
  const chain = new DescriptorChain();
  assert.equal(queue.pop(chain), false);
  assert.match(queue.broken?.message ?? 'not broken', reason);
  assert.equal(queue.pop(chain), false);
  assert.equal(queue.enableNotification(), false);
}

/** A table of descriptors [gpa, length, flags, next] in guest memory. */
function indirectTable(guest: MockGuest, rows: readonly [number, number, number, number][]): number {
  const gpa = guest.allocate(DESCRIPTOR_SIZE * rows.length);
  const view = guest.view(gpa, DESCRIPTOR_SIZE * rows.length);
  for (const [i, [address, length, flags, next]] of rows.entries()) {
    view.setBigUint64(16 * i, BigInt(address), true);
    view.setUint32(16 * i + 8, length, true);
    view.setUint16(16 * i + 12, flags, true);
    view.setUint16(16 * i + 14, next, true);
  }
  return gpa;
}

test('split: chains that loop, or leave the table, break the queue', () => {
  const cases: [links: [number, number][], reason: RegExp][] = [
    [[[0, 0]], /loop/],
    [
      [
        [0, 1],
        [1, 0],
      ],
      /loop/,
    ],
    [[[0, SIZE]], /goes on at descriptor 8 of 8/],
    [[[0, 0xffff]], /goes on at descriptor 65535/],
  ];
  for (const [links, reason] of cases) {
    const { guest, driver } = split();
    for (const [index, next] of links) driver.setDescriptor(index, guest.gpa, 1, NEXT, next);
    driver.makeAvailable(0);
    breaks(driver.open(), reason);
  }
});

test('split: an available ring that names what is not there breaks the queue', () => {
  const beyond = split().driver;
  beyond.makeAvailable(SIZE);
  breaks(beyond.open(), /names descriptor 8 of 8/);
  for (const index of [SIZE + 1, 0x8000, 0xffff]) {
    const { driver } = split();
    driver.available.setUint16(2, index, true);
    breaks(driver.open(), /entries ahead in a queue of 8/);
  }
});

test('addresses and lengths outside of guest memory break the queue', () => {
  const { guest } = split();
  const end = guest.gpa + guest.size;
  const bad: [bigint, number][] = [
    [0n, 1],
    [BigInt(end), 1],
    [BigInt(end - 1), 2],
    [BigInt(guest.gpa), 0xffff_ffff],
    [0xffff_ffff_ffff_ffffn, 2],
    [0xffff_ffff_ffff_f000n, 0xffff_ffff],
    [2n ** 63n + BigInt(guest.gpa), 1],
    [BigInt(guest.userAddress(guest.gpa)), 1],
  ];
  for (const [gpa, length] of bad) {
    const s = split().driver;
    s.setDescriptor(0, 0, length, WRITE, 0);
    s.table.setBigUint64(0, gpa, true);
    s.makeAvailable(0);
    breaks(s.open(), /where not all is guest memory|bytes or more/);
    const p = packed().driver;
    p.setDescriptor(0, { gpa: 0, length }, 0, AVAIL);
    p.ring.setBigUint64(0, gpa, true);
    breaks(p.open(), /where not all is guest memory|bytes or more/);
  }
});

test('descriptors that overlap cannot make a chain longer than its limit', () => {
  const { guest, driver } = split();
  const rows = Array.from(
    { length: 1024 },
    (_, i) => [guest.gpa, guest.size, NEXT, i + 1] as [number, number, number, number],
  );
  rows[1023]![2] = 0;
  const chain = new DescriptorChain();
  driver.setDescriptor(0, indirectTable(guest, rows), 16 * 1024, INDIRECT, 0);
  driver.makeAvailable(0);
  const queue = driver.open();
  assert.equal(queue.pop(chain), true);
  assert.equal(chain.readable.length, 2 ** 30);
  assert.equal(chain.readable.count, 1024);
  driver.setDescriptor(1, indirectTable(guest, [...rows, rows[0]!]), 16 * 1025, INDIRECT, 0);
  driver.makeAvailable(1);
  breaks(queue, /indirect table has 16400 bytes/);
});

test('what is readable comes before what is writable', () => {
  const { guest, driver } = split();
  driver.setDescriptor(0, guest.gpa, 1, WRITE | NEXT, 1);
  driver.setDescriptor(1, guest.gpa, 1, 0, 0);
  driver.makeAvailable(0);
  breaks(driver.open(), /readable descriptor follows a writable/);
});

test('a queue may lie where a request writes to', () => {
  const { guest, driver } = split();
  driver.setDescriptor(0, guest.gpa, 4096, WRITE, 0);
  driver.makeAvailable(0);
  const queue = driver.open();
  const chain = new DescriptorChain();
  assert.ok(queue.pop(chain));
  chain.writable.copyFrom(new Uint8Array(4096).fill(0xff));
  queue.push(chain, 4096);
  assert.equal(typeof queue.needsInterrupt(), 'boolean');
  breaks(queue, /entries ahead/);
});

test('indirect tables: each rule', () => {
  const one: [number, number, number, number] = [0x10_0000, 1, 0, 0];
  type Rows = [number, number, number, number][];
  const cases: [rows: Rows, length: number, flags: number, reason: RegExp][] = [
    [[one], 16, INDIRECT | NEXT, /has a next one|part of a list/],
    [[one], 0, INDIRECT, /indirect table has 0 bytes/],
    [[one], 17, INDIRECT, /indirect table has 17 bytes/],
    [[one], 0xffff_fff0, INDIRECT, /indirect table has 4294967280 bytes/],
  ];
  for (const [rows, length, flags, reason] of cases) {
    const s = split();
    s.driver.setDescriptor(0, indirectTable(s.guest, rows), length, flags, 0);
    s.driver.makeAvailable(0);
    breaks(s.driver.open(), reason);
    const p = packed();
    p.driver.setDescriptor(0, { gpa: indirectTable(p.guest, rows), length }, 0, AVAIL | flags);
    breaks(p.driver.open(), reason);
  }
  const links: [rows: Rows, reason: RegExp][] = [
    [[[0x10_0000, 16, INDIRECT, 0]], /refers to another/],
    [[[0x10_0000, 1, NEXT, 0], one], /goes on/],
    [[[0x10_0000, 1, NEXT, 2], one], /goes on/],
    [[[0x10_0000, 1, NEXT, 0]], /goes on/],
  ];
  for (const [rows, reason] of links) {
    const { guest, driver } = split();
    driver.setDescriptor(0, indirectTable(guest, rows), 16 * rows.length, INDIRECT, 0);
    driver.makeAvailable(0);
    breaks(driver.open(), reason);
  }
  const far = split().driver;
  far.setDescriptor(0, 0x1000, 16, INDIRECT, 0);
  far.makeAvailable(0);
  breaks(far.open(), /indirect table at 0x1000 is not in guest memory/);
});

test('what was not negotiated breaks the queue', () => {
  const s = split({ eventIdx: false, indirect: false });
  s.driver.add({ readable: [Uint8Array.of(1)], indirect: true });
  breaks(s.driver.open(), /not negotiated/);
  const p = packed({ eventIdx: false, indirect: false });
  p.driver.add({ readable: [Uint8Array.of(1)], indirect: true });
  breaks(p.driver.open(), /not negotiated/);
});

test('packed: a list that never ends breaks the queue', () => {
  const { guest, driver } = packed();
  for (let i = 0; i < SIZE; i++) driver.setDescriptor(i, { gpa: guest.gpa, length: 1 }, 0, AVAIL | NEXT);
  breaks(driver.open(), /more descriptors are under way/);
});

test('packed: flags that contradict each other are no request', () => {
  const { driver } = packed();
  const queue = driver.open();
  const chain = new DescriptorChain();
  for (const flags of [0, 0x8000, 0x8080]) {
    driver.setDescriptor(0, { gpa: 0, length: 0 }, 0, flags);
    assert.equal(queue.pop(chain), false);
    assert.equal(queue.enableNotification(), false);
  }
  assert.equal(queue.broken, undefined);
});

test('packed: a base beyond the ring is refused', () => {
  const { driver } = packed();
  assert.throws(() => driver.open(SIZE), { code: 'E_VIRTQUEUE' });
  assert.throws(() => driver.open(SIZE << 16), { code: 'E_VIRTQUEUE' });
});

test('event indices out of range cost an interrupt too many or too few, and nothing else', () => {
  for (const place of [0, 7, 8, 0x7fff, 0x8000, 0xffff]) {
    const features = { eventIdx: true, indirect: false };
    const p = packed(features).driver;
    p.driver.setUint16(0, place, true);
    p.driver.setUint16(2, 2, true);
    const s = split(features).driver;
    s.available.setUint16(4 + 2 * SIZE, place, true);
    for (const driver of [p, s]) {
      const queue = driver.open();
      const chain = new DescriptorChain();
      driver.add({ writable: [1] });
      assert.ok(queue.pop(chain));
      queue.push(chain, 0);
      assert.equal(typeof queue.needsInterrupt(), 'boolean');
      assert.equal(queue.broken, undefined);
    }
  }
});

test('a request that is made available twice is taken twice, and its notes stay right', () => {
  const s = split();
  const head = s.driver.add({ writable: [1] });
  s.driver.makeAvailable(head);
  const area = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  const openSplit = () =>
    new SplitQueue(
      s.guest.memory,
      SIZE,
      s.driver.addresses,
      { eventIdx: false, indirect: true },
      0,
      new SplitInflight(area, SIZE),
    );
  const queue = openSplit();
  const [one, two] = [new DescriptorChain(), new DescriptorChain()];
  assert.ok(queue.pop(one) && queue.pop(two));
  assert.deepEqual([one.id, two.id], [head, head]);
  queue.push(one, 1);
  queue.push(two, 1);
  assert.equal(s.driver.usedIndex, 2);
  assert.equal(openSplit().pop(one), false, 'nothing is left to be done');

  // Packed: two requests with one id.
  const p = packed();
  for (const at of [0, 1]) p.driver.setDescriptor(at, { gpa: p.guest.gpa, length: 1 }, 7, AVAIL | WRITE);
  const notes = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  const features = { eventIdx: false, indirect: true };
  const openPacked = () =>
    new PackedQueue(p.guest.memory, SIZE, p.driver.addresses, features, PACKED_START, new PackedInflight(notes, SIZE));
  const ring = openPacked();
  assert.ok(ring.pop(one) && ring.pop(two));
  ring.push(two, 1);
  ring.push(one, 1);
  assert.equal(openPacked().pop(one), false);
});

test('a driver that hands out descriptors for ever, and takes none back, comes to an end', () => {
  const { guest, driver } = packed();
  const notes = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  const features = { eventIdx: false, indirect: true };
  const inflight = new PackedInflight(notes, SIZE);
  const queue = new PackedQueue(guest.memory, SIZE, driver.addresses, features, PACKED_START, inflight);
  const chain = new DescriptorChain();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < SIZE; i++) {
      driver.setDescriptor(i, { gpa: guest.gpa, length: 1 }, i, round % 2 === 0 ? AVAIL : 0x8000);
      if (round === 0) assert.ok(queue.pop(chain));
    }
  }
  driver.setDescriptor(0, { gpa: guest.gpa, length: 1 }, 0, 0x8000);
  breaks(queue, /more descriptors are under way than the ring has/);
});

test('a buffer that reaches into a hole of memory breaks the queue', () => {
  const { guest, driver } = split();
  const piece = (from: number, length: number) =>
    new DeviceRegion(guest.gpa + from, guest.userAddress(guest.gpa + from), {
      bytes: guest.region.bytes.subarray(from, from + length),
      address: 0,
    });
  guest.memory.replace([piece(0, 0x8000), piece(0x8000, 0x1000), piece(0xa000, 0x1000)]);
  const ask = (from: number, length: number) => {
    driver.setDescriptor(0, guest.gpa + from, length, WRITE, 0);
    driver.makeAvailable(0);
  };
  const queue = driver.open();
  const chain = new DescriptorChain();
  ask(0x7000, 0x2000); // over the border of two that lie side by side
  assert.ok(queue.pop(chain));
  assert.equal(chain.writable.count, 2);
  ask(0x8000, 0x1001);
  breaks(queue, /where not all is guest memory/);
});
