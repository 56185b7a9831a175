import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { type FeatureSet, featureSet } from '../features.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import {
  type Offloads,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_MRG_RXBUF,
} from './net-config.ts';
import { NetDevice } from './net-device.ts';
import type { NetPort } from './net-port.ts';

const PORT_FD = 500;

class FakePort implements NetPort {
  readonly fd: number;
  readonly incoming: Uint8Array[] = [];
  readonly sent: Uint8Array[] = [];
  offloads: Offloads | undefined;
  active = true;
  isOver = false;
  hasRoom = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  receive(list: ScatterList): number {
    if (this.isOver) return 0;
    const frame = this.incoming.shift();
    return frame === undefined ? -1 : list.copyFrom(frame);
  }

  send(list: ScatterList): boolean {
    if (!this.hasRoom) return false;
    const frame = new Uint8Array(list.length);
    list.copyTo(frame);
    this.sent.push(frame);
    return true;
  }

  setOffloads(offloads: Offloads): void {
    this.offloads = offloads;
  }

  setActive(active: boolean): void {
    this.active = active;
  }

  close(): void {}
}

function setUp(format: RingFormat, { pairs = 1, features }: { pairs?: number; features?: FeatureSet } = {}) {
  const ports = Array.from({ length: pairs }, (_, i) => new FakePort(PORT_FD + i));
  const device = new NetDevice(ports, { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtu: 1500, offloads: true });
  return { ports, device, harness: new DeviceHarness(device, format, features ?? device.features) };
}

function frame(length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => (i < 12 ? 0 : i % 251));
}

for (const format of RING_FORMATS) {
  test(`${format}: frames go out as they are`, () => {
    const { ports, harness } = setUp(format);
    const data = frame(100);
    harness.request(1, { readable: [data.subarray(0, 12), data.subarray(12, 50), data.subarray(50)] });
    assert.deepEqual(ports[0]!.sent, [data]);
    // Not even a header, nothing at all, and something to write to: that is the port's to refuse.
    harness.request(1, { readable: [data.subarray(0, 5)] });
    harness.request(1, { writable: [100] });
    assert.deepEqual(
      ports[0]!.sent.map(({ length }) => length),
      [100, 5, 0],
    );
  });

  test(`${format}: a frame for which the port has no room waits`, () => {
    const { ports, harness } = setUp(format);
    ports[0]!.hasRoom = false;
    for (const length of [30, 40]) harness.drivers[1]!.add({ readable: [frame(length)] });
    harness.kick(1);
    assert.equal(harness.drivers[1]!.take(), undefined);
    assert.equal(harness.watchedEvents(PORT_FD), 4);
    ports[0]!.hasRoom = true;
    harness.ready(PORT_FD, 4);
    assert.deepEqual(
      ports[0]!.sent.map(({ length }) => length),
      [30, 40],
    );
    assert.deepEqual(harness.watched, []);
  });

  test(`${format}: a frame lies in one buffer, or in as many as it needs`, () => {
    const { ports, harness } = setUp(format);
    const driver = harness.drivers[0]!;
    for (let i = 0; i < 20; i++) driver.add({ writable: [100, 28] });
    ports[0]!.incoming.push(frame(60), frame(1000));
    harness.kick(0);
    const first = driver.take()!;
    assert.equal(first.written, 60);
    assert.deepEqual([...first.data.subarray(10, 14)], [1, 0, 12, 13]);
    const parts = Array.from({ length: 8 }, () => driver.take()!);
    assert.equal(driver.take(), undefined);
    const all = new Uint8Array(Buffer.concat(parts.map(({ data, written }) => data.subarray(0, written))));
    assert.deepEqual([...all.subarray(10, 12)], [8, 0]);
    all[10] = 0;
    assert.deepEqual(all, frame(1000));
    assert.ok(harness.interrupts[0]! > 0);
    assert.deepEqual(harness.watched, [PORT_FD]);
  });

  test(`${format}: without merged buffers a frame needs a buffer that holds it`, () => {
    const { ports, harness } = setUp(format, { features: 0n });
    const driver = harness.drivers[0]!;
    for (let i = 0; i < 3; i++) driver.add({ writable: [100] });
    ports[0]!.incoming.push(frame(101), frame(100));
    harness.kick(0);
    assert.equal(driver.take()?.written, 100);
    assert.equal(driver.take(), undefined);
  });

  test(`${format}: a frame for which there is no room is lost, and no buffer with it`, () => {
    const { ports, harness } = setUp(format);
    const driver = harness.drivers[0]!;
    for (let i = 0; i < 3; i++) driver.add({ writable: [100] });
    ports[0]!.incoming.push(frame(301), frame(300));
    harness.kick(0);
    assert.equal([1, 2, 3].filter(() => driver.take() !== undefined).length, 3);
    // Without buffers frames stay where they are.
    ports[0]!.incoming.push(frame(50));
    assert.deepEqual(harness.watched, []);
    assert.equal(harness.request(0, { writable: [100] }).written, 50);
  });

  test(`${format}: a frame waits for buffers that the driver is known to have, and all behind it`, () => {
    const { ports, harness } = setUp(format);
    const driver = harness.drivers[0]!;
    const add = (count: number) => {
      for (let i = 0; i < count; i++) driver.add({ writable: [100] });
      harness.kick(0);
    };
    const taken = () => Array.from({ length: 5 }, () => driver.take()).filter((buffer) => buffer !== undefined);
    const large = () => {
      const bytes = frame(390);
      bytes[10] = 4; // that many buffers
      return bytes;
    };
    ports[0]!.incoming.push(frame(390));
    add(4);
    assert.equal(taken().length, 4);
    ports[0]!.incoming.push(frame(390), frame(60));
    add(2);
    add(1);
    assert.deepEqual([taken().length, ports[0]!.incoming.length, harness.watched], [0, 1, []]);
    add(2);
    const parts = taken();
    assert.deepEqual(
      parts.map(({ written }) => written),
      [100, 100, 100, 90, 60],
    );
    const all = Buffer.concat(parts.slice(0, 4).map(({ data, written }) => data.subarray(0, written)));
    assert.deepEqual(new Uint8Array(all), large());
  });

  test(`${format}: a port that has ended is not waited for`, () => {
    const { ports, harness } = setUp(format);
    harness.drivers[0]!.add({ writable: [100] });
    harness.kick(0);
    assert.deepEqual(harness.watched, [PORT_FD]);
    ports[0]!.isOver = true;
    harness.ready(PORT_FD, 0x10);
    assert.deepEqual(harness.watched, []);
  });

  test(`${format}: buffers without room for a header get nothing`, () => {
    const { ports, harness } = setUp(format);
    ports[0]!.incoming.push(frame(50));
    assert.equal(harness.tryRequest(0, { writable: [11] }), undefined);
    assert.equal(ports[0]!.incoming.length, 0);
  });

  test(`${format}: more pairs of queues when the driver wants them`, () => {
    const { ports, harness } = setUp(format, { pairs: 3 });
    const command = (...bytes: number[]) =>
      harness.request(6, { readable: [Uint8Array.from(bytes)], writable: [1] }).data[0];
    const active = () => ports.map((port) => port.active);
    assert.deepEqual(active(), [true, false, false]);
    assert.equal(harness.tryRequest(3, { readable: [frame(20)] }), undefined);
    for (const pairs of [0, 4, 0xff]) assert.equal(command(4, 0, pairs, 0), 1);
    assert.equal(command(4, 0, 2, 0), 0);
    assert.deepEqual(active(), [true, true, false]);
    harness.kick(3);
    assert.equal(ports[1]!.sent.length, 1);
    ports[1]!.incoming.push(frame(30));
    assert.equal(harness.request(2, { writable: [100] }).written, 30);
    harness.device.reset();
    assert.deepEqual(active(), [true, false, false]);
    assert.deepEqual(harness.watched, []);
  });

  test(`${format}: offloads are what was negotiated, until a command says less`, () => {
    const features = featureSet(VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_MRG_RXBUF);
    const { ports, harness } = setUp(format, { features });
    const off = { checksum: false, tso4: false, tso6: false, ecn: false, ufo: false };
    const set = (bits: number) => {
      const readable = [Uint8Array.of(5, 0, bits, bits >> 8, 0, 0, 0, 0, 0, 0)];
      return harness.request(2, { readable, writable: [1] }).data[0];
    };
    assert.deepEqual(ports[0]!.offloads, { ...off, checksum: true, tso4: true });
    assert.equal(set(1 << 1), 0);
    assert.deepEqual(ports[0]!.offloads, { ...off, checksum: true });
    assert.equal(set(1 << 8), 1);
    assert.equal(set(1 << 15), 1);
    assert.deepEqual(ports[0]!.offloads, { ...off, checksum: true });
  });

  test(`${format}: commands that there are not, and broken ones`, () => {
    const { harness } = setUp(format);
    const cases: [Uint8Array, number[], number | undefined][] = [
      [Uint8Array.of(0, 0, 1), [1], 1],
      [Uint8Array.of(4, 0, 1, 0), [1], 1],
      [Uint8Array.of(4), [1], 1],
      [new Uint8Array(0), [1], 1],
      [Uint8Array.of(5, 0, 0), [1], 1],
      [new Uint8Array(5000).fill(1), [1], 1],
      [Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0, 0, 0), [], undefined],
      [Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0, 0, 0), [1], 0],
    ];
    for (const [readable, writable, ack] of cases) {
      assert.equal(harness.request(2, { readable: [readable], writable }).data[0], ack);
    }
  });
}

test('without offloads none is offered', () => {
  const { features } = new NetDevice([new FakePort(1)], { mac: undefined, mtu: undefined, offloads: false });
  assert.equal(features, (1n << 15n) | (1n << 17n));
});

test('the configuration space', () => {
  const { device } = setUp('split', { pairs: 2 });
  assert.deepEqual([...device.config], [2, 0, 0, 0, 0, 1, 0, 0, 2, 0, 1500 & 0xff, 1500 >> 8]);
});
