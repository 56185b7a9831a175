/** The block device with an engine that ends requests later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../disk/memory-store.ts';
import { RawDisk } from '../../disk/raw.ts';
import { HeldEngine } from '../../disk/testing/held-engine.ts';
import { CrosvmError } from '../../errors.ts';
import { EPOLLIN } from '../device.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import {
  VIRTIO_BLK_S_IOERR as IOERR,
  VIRTIO_BLK_S_OK as OK,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from './block-config.ts';
import { BlockDevice } from './block-device.ts';

const SECTORS = 64;

function setUp(format: RingFormat, { capacity = 8, queues = 1, features = undefined as bigint | undefined } = {}) {
  const store = new MemoryStore(
    'disk',
    new Uint8Array(SECTORS * 512).map((_, i) => i >> 9),
  );
  const flushes: number[] = [];
  const flush = store.flush.bind(store);
  store.flush = () => {
    flushes.push(engine.held.length);
    flush();
  };
  const engine = new HeldEngine(capacity);
  const device = new BlockDevice(new RawDisk(store), { blockSize: 512, sparse: true, queues, id: '' }, engine);
  const harness = new DeviceHarness(device, format, features);
  const driver = harness.drivers[0]!;
  const collect = () => harness.ready(engine.eventFd.fd, EPOLLIN);
  /** Makes requests available and kicks; their ids. */
  const make = (...requests: Parameters<typeof driver.add>[0][]) => {
    const ids = requests.map((request) => driver.add(request));
    harness.kick(0);
    return ids;
  };
  return { store, flushes, engine, device, harness, driver, collect, make };
}

function header(type: number, sector = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setUint32(8, sector, true);
  return new Uint8Array(view.buffer);
}

const read = (sector: number, length = 512) => ({ readable: [header(VIRTIO_BLK_T_IN, sector)], writable: [length, 1] });
const write = (sector: number, value: number) => ({
  readable: [header(VIRTIO_BLK_T_OUT, sector), new Uint8Array(512).fill(value)],
  writable: [1],
});
const flush = { readable: [header(VIRTIO_BLK_T_FLUSH)], writable: [1] };

for (const format of RING_FORMATS) {
  test(`${format}: requests end in whatever order, each with its own data and status`, () => {
    const { engine, harness, driver, collect, make, store } = setUp(format);
    const ids = make(read(3), write(9, 77), read(5, 1024));
    assert.equal(driver.take(), undefined);
    engine.end(2);
    engine.end(0);
    collect();
    const [late, early] = [driver.take()!, driver.take()!];
    assert.deepEqual([late.id, early.id], [ids[2], ids[0]]);
    assert.deepEqual([late.written, early.written], [1025, 513]);
    assert.deepEqual([late.data[0], late.data[512], late.data[1024]], [5, 6, OK]);
    assert.deepEqual([early.data[0], early.data[512]], [3, OK]);
    assert.equal(driver.take(), undefined);
    assert.equal(harness.interrupts[0], 1);
    driver.wantInterrupt(true);
    engine.end(0);
    collect();
    assert.deepEqual(driver.take()?.data, Uint8Array.of(OK));
    assert.equal(store.contents()[9 * 512], 77);
    assert.equal(harness.interrupts[0], 2);
  });

  test(`${format}: what the engine could not do is tried again, and an error is that of the request`, () => {
    const { engine, driver, collect, make, store } = setUp(format);
    make(read(3), read(4));
    engine.end(0, 'failed');
    collect();
    assert.deepEqual([...driver.take()!.data.subarray(511)], [3, OK]);
    store.readList = () => {
      throw new CrosvmError('E_SYSTEM', 'the disk is broken');
    };
    engine.end(0, 'failed');
    collect();
    assert.equal(driver.take()!.data[512], IOERR);
  });

  test(`${format}: a queue that stops has its requests answered first`, () => {
    const { engine, harness, driver, make } = setUp(format);
    const ids = make(read(1), write(2, 99));
    harness.restart(0);
    assert.equal(engine.held.length, 0);
    const back = [driver.take()!, driver.take()!];
    assert.deepEqual(back.map(({ id }) => id).sort(), [...ids].sort());
    // The next one is where the first one stood.
    assert.equal(make(read(2)).length, 1);
    assert.equal(engine.held.length, 1);
  });

  test(`${format}: nothing uses guest memory once it may go away`, () => {
    const { engine, device, driver, make } = setUp(format);
    make(read(1), read(2));
    device.memoryChanging();
    assert.equal(engine.held.length, 0);
    assert.ok(driver.take() && driver.take());
  });

  test(`${format}: a flush does not wait for what was not answered; what changes the disk otherwise does`, () => {
    const { engine, driver, flushes, make, collect } = setUp(format);
    const ids = make(write(1, 5), flush);
    assert.equal(driver.take(), undefined);
    engine.end(1);
    collect();
    assert.deepEqual(flushes, [1]);
    assert.equal(driver.take()?.id, ids[1]);
    const range = new Uint8Array(16);
    range[8] = 1;
    const [discard] = make({ readable: [header(VIRTIO_BLK_T_DISCARD), range], writable: [1] });
    assert.equal(engine.held.length, 0);
    assert.deepEqual([driver.take()?.id, driver.take()?.id], [ids[0], discard]);
    // One that the engine could not do is done.
    make(flush);
    engine.end(0, 'refused');
    collect();
    assert.deepEqual(driver.take()?.data, Uint8Array.of(OK));
    assert.deepEqual(flushes, [1, 0]);
    // Of one that failed, nobody may say later that it is done: the host tells only once of writes that it has lost.
    make(flush);
    engine.end(0, 'failed');
    collect();
    assert.deepEqual(driver.take()?.data, Uint8Array.of(IOERR));
    assert.deepEqual(flushes, [1, 0]);
  });

  test(`${format}: without flushes of the driver, a write is stable when it is answered`, () => {
    const { engine, driver, flushes, make } = setUp(format, { features: 0n });
    const range = new Uint8Array(16);
    range[8] = 1;
    const ids = make(read(1), write(1, 5), { readable: [header(VIRTIO_BLK_T_DISCARD), range], writable: [1] });
    assert.equal(engine.held.length, 0);
    assert.deepEqual(flushes, [0, 0]);
    const back = ids.map(() => driver.take()!);
    assert.deepEqual(
      back.map(({ id, data }) => [id, data.at(-1)]),
      ids.map((id) => [id, OK]),
    );
    assert.equal(driver.take(), undefined);
  });

  test(`${format}: what is more than the engine takes waits in the ring, of each queue`, () => {
    const { engine, harness, make, collect, driver } = setUp(format, { capacity: 2, queues: 2 });
    make(read(1), read(2), read(3), read(4));
    harness.drivers[1]!.add(read(5));
    harness.kick(1);
    assert.equal(engine.held.length, 2);
    const sectors: number[] = [];
    for (let i = 0; i < 5; i++) {
      engine.end(0);
      collect();
      const result = driver.take() ?? harness.drivers[1]!.take();
      sectors.push(result!.data[0]!);
    }
    assert.deepEqual(sectors.sort(), [1, 2, 3, 4, 5]);
    assert.equal(engine.held.length, 0);
  });

  test(`${format}: what is under way is answered before the size changes, or cannot`, () => {
    const { engine, device, harness, driver, make, store } = setUp(format);
    const last = read(SECTORS - 1);
    make(last);
    device.resize((SECTORS * 512) / 2);
    assert.deepEqual([engine.held.length, harness.interrupts[0]], [0, 1]);
    assert.deepEqual([...driver.take()!.data.subarray(511)], [SECTORS - 1, OK]);
    driver.wantInterrupt(true);
    make(read(1));
    store.resize = () => {
      throw new CrosvmError('E_DISK_RESIZE', 'it keeps its size');
    };
    assert.throws(() => device.resize(512), { code: 'E_DISK_RESIZE' });
    assert.equal(harness.interrupts[0], 2);
  });

  test(`${format}: bad requests fail at once and beside others`, () => {
    const { engine, driver, make } = setUp(format);
    const ids = make(read(1), read(SECTORS), {
      readable: [header(VIRTIO_BLK_T_OUT), new Uint8Array(100)],
      writable: [1],
    });
    const bad = [driver.take()!, driver.take()!];
    assert.deepEqual(
      bad.map(({ id, data }) => [id, data.at(-1)]),
      [
        [ids[1], IOERR],
        [ids[2], IOERR],
      ],
    );
    assert.equal(engine.held.length, 1);
  });
}

test('the end: everything is done, and disk and engine are closed', () => {
  const { engine, device, harness, make, store } = setUp('split');
  make(write(1, 42));
  device.close();
  assert.equal(engine.held.length, 0);
  assert.equal(store.contents()[512], 42);
  assert.ok(engine.isClosed);
  assert.deepEqual(harness.watched, []);
});
