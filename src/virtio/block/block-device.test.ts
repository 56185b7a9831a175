import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../disk/memory-store.ts';
import { RawDisk } from '../../disk/raw.ts';
import { CrosvmError } from '../../errors.ts';
import { type FeatureSet, featureSet } from '../features.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { VIRTIO_BLK_F_FLUSH } from './block-config.ts';
import { BlockDevice, type BlockOptions } from './block-device.ts';

const [IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES] = [0, 1, 4, 8, 11, 13];
const [OK, IOERR, UNSUPP] = [0, 1, 2];
const SECTORS = 64;
const SIZE = SECTORS * 512;

interface SetUp extends Partial<BlockOptions> {
  readonly readOnly?: boolean;
  readonly size?: number;
  readonly features?: FeatureSet;
}

function setUp(format: RingFormat, given: SetUp = {}) {
  const contents = new Uint8Array(given.size ?? SIZE).map((_, i) => i >> 9);
  const store = new MemoryStore('disk', contents, given.readOnly !== true);
  const calls: string[] = [];
  const disk = new RawDisk(store, false);
  const noting = new Proxy(disk, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...values: unknown[]) => {
        calls.push([String(name), ...values.filter((v) => typeof v !== 'object')].join(' '));
        return value.apply(target, values);
      };
    },
  });
  const options = { blockSize: 512, sparse: true, queues: 1, id: 'serial', ...given };
  const device = new BlockDevice(noting, options);
  return { store, calls, device, harness: new DeviceHarness(device, format, given.features) };
}

function header(type: number, sector = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt.asUintN(64, BigInt(sector)), true);
  return new Uint8Array(view.buffer);
}

function ranges(...rows: [sector: number, sectors: number, flags: number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(16 * rows.length));
  for (const [i, [sector, sectors, flags]] of rows.entries()) {
    view.setBigUint64(16 * i, BigInt(sector), true);
    view.setUint32(16 * i + 8, sectors, true);
    view.setUint32(16 * i + 12, flags, true);
  }
  return new Uint8Array(view.buffer);
}

for (const format of RING_FORMATS) {
  test(`${format}: what is written is read, wherever the pieces are cut`, () => {
    const { harness, store } = setUp(format);
    const data = new Uint8Array(1024).map((_, i) => 200 + (i % 50));
    const head = header(OUT, 3);
    const pieces = [head.subarray(0, 5), head.subarray(5), data.subarray(0, 100), data.subarray(100)];
    assert.deepEqual(harness.request(0, { readable: pieces, writable: [1] }).data, Uint8Array.of(OK));
    assert.deepEqual(store.contents().subarray(1536, 2560), data);
    // The first descriptor holds header and data, the last one data and status.
    const joined = new Uint8Array([...header(OUT, 5), ...data.subarray(0, 512)]);
    assert.equal(harness.request(0, { readable: [joined], writable: [1] }).data[0], OK);
    const read = harness.request(0, { readable: [header(IN, 4)], writable: [1, 600, 512 * 2 - 601 + 1] });
    assert.equal(read.written, 1025);
    assert.deepEqual(read.data.subarray(0, 512), data.subarray(512));
    assert.deepEqual(read.data.subarray(512, 1024), data.subarray(0, 512));
    assert.equal(read.data[1024], OK);
    assert.equal(harness.interrupts[0], 3);
  });

  test(`${format}: a chain of very many small descriptors is a request like another`, () => {
    const { harness } = setUp(format);
    const bytes = [...header(IN, 63)].map((byte) => Uint8Array.of(byte));
    const { data } = harness.request(0, { readable: bytes, writable: new Array(513).fill(1), indirect: true });
    assert.deepEqual(data, new Uint8Array([...new Array(512).fill(63), OK]));
  });

  test(`${format}: the last sector can be reached and nothing behind it`, () => {
    const { harness, store } = setUp(format);
    const before = store.contents();
    const status = (type: number, sector: number, length: number) => {
      const read = type === IN;
      const readable = read ? [header(type, sector)] : [header(type, sector), new Uint8Array(length)];
      return harness.request(0, { readable, writable: [...(read && length > 0 ? [length] : []), 1] }).data.at(-1);
    };
    for (const type of [IN, OUT]) {
      assert.equal(status(type, SECTORS, 512), IOERR);
      assert.equal(status(type, SECTORS - 1, 1024), IOERR);
      assert.equal(status(type, 2 ** 53 / 512, 512), IOERR);
      assert.equal(status(type, -1, 512), IOERR);
      assert.equal(status(type, 0, 511), IOERR);
      assert.equal(status(type, 0, 513), IOERR);
      assert.equal(status(type, 0, 0), OK);
    }
    assert.deepEqual(store.contents(), before);
    assert.equal(status(IN, SECTORS - 1, 512), OK);
    assert.equal(status(OUT, SECTORS - 1, 512), OK);
  });

  test(`${format}: what a request says is read once, and what it says later does not count`, () => {
    const { harness, store } = setUp(format);
    const { guest } = harness;
    // Where the request will be: it says something else once its first range is carried out.
    const place = guest.place(new Uint8Array(0));
    const discarded: number[] = [];
    Object.assign(store, {
      punchHole(offset: number) {
        discarded.push(offset);
        guest.bytes(place, 48).fill(0xff);
      },
    });
    const readable = [header(DISCARD), ranges([1, 1, 0], [3, 1, 0])];
    assert.equal(harness.request(0, { readable, writable: [1] }).data[0], OK);
    assert.deepEqual(discarded, [512, 3 * 512]);
    assert.equal(guest.bytes(place, 1)[0], 0xff, 'it was there');
  });

  test(`${format}: a disk may not be written without permission, whatever the driver thinks`, () => {
    const { harness, calls, device } = setUp(format, { readOnly: true, features: 0n });
    assert.ok((device.features & 0x20n) !== 0n);
    for (const readable of [
      [header(OUT, 0), new Uint8Array(512)],
      [header(WRITE_ZEROES), ranges([0, 1, 0])],
      [header(DISCARD), ranges([0, 1, 0])],
    ]) {
      assert.equal(harness.request(0, { readable, writable: [1] }).data[0], IOERR);
    }
    assert.deepEqual(calls, []);
  });

  test(`${format}: the serial number fits whatever there is for it`, () => {
    const { harness } = setUp(format, { id: 'a name of more than twenty bytes' });
    const id = new TextEncoder().encode('a name of more than ');
    for (const length of [0, 1, 20, 30]) {
      const { data } = harness.request(0, { readable: [header(GET_ID)], writable: [length, 1] });
      assert.deepEqual(data.subarray(0, Math.min(length, 20)), id.subarray(0, length));
      assert.equal(data.at(-1), OK);
    }
  });

  test(`${format}: ranges are discarded and zeroed, or refused all together`, () => {
    const { harness, calls, store } = setUp(format);
    const status = (type: number, bytes: Uint8Array) =>
      harness.request(0, { readable: [header(type), bytes], writable: [1] }).data[0];
    assert.equal(status(DISCARD, ranges([1, 2, 0], [8, 1, 0])), OK);
    assert.equal(status(WRITE_ZEROES, ranges([10, 1, 1], [12, 1, 0])), OK);
    assert.deepEqual(calls, [
      'discard 512 1024',
      'discard 4096 512',
      'writeZeroes 5120 512 true',
      'writeZeroes 6144 512 false',
    ]);
    assert.equal(store.contents()[5120], 0);
    calls.length = 0;
    const bad: [number, Uint8Array, number][] = [
      [DISCARD, ranges([0, 1, 1]), UNSUPP],
      [WRITE_ZEROES, ranges([0, 1, 2]), UNSUPP],
      [WRITE_ZEROES, ranges([0, 1, 0], [SECTORS, 1, 0]), IOERR],
      [DISCARD, ranges([SECTORS - 1, 2, 0]), IOERR],
      [DISCARD, ranges([0, 0xffff_ffff, 0]), IOERR],
      [DISCARD, ranges([2 ** 52, 1, 0]), IOERR],
      [DISCARD, new Uint8Array(0), IOERR],
      [DISCARD, new Uint8Array(15), IOERR],
      [DISCARD, ranges(...new Array(33).fill([0, 1, 0])), IOERR],
    ];
    for (const [type, bytes, expected] of bad) assert.equal(status(type, bytes), expected);
    assert.deepEqual(calls, []);
  });

  test(`${format}: without discard there is none`, () => {
    const { harness } = setUp(format, { sparse: false });
    const { data } = harness.request(0, { readable: [header(DISCARD), ranges([0, 1, 0])], writable: [1] });
    assert.equal(data[0], UNSUPP);
  });

  test(`${format}: a driver that cannot flush has every write made stable`, () => {
    const through = setUp(format, { features: 0n });
    through.harness.request(0, { readable: [header(OUT), new Uint8Array(512)], writable: [1] });
    assert.deepEqual(through.calls, ['write 0', 'flush']);
    const back = setUp(format, { features: featureSet(VIRTIO_BLK_F_FLUSH) });
    back.harness.request(0, { readable: [header(OUT), new Uint8Array(512)], writable: [1] });
    back.harness.request(0, { readable: [header(FLUSH)], writable: [1] });
    assert.deepEqual(back.calls, ['write 0', 'flush']);
  });

  test(`${format}: malformed requests fail alone`, () => {
    const { harness } = setUp(format);
    const cases: [Uint8Array[], number[], number | undefined][] = [
      [[], [1], IOERR],
      [[header(IN).subarray(0, 15)], [512, 1], IOERR],
      [[header(99)], [1], UNSUPP],
      [[header(0xffff_ffff)], [512, 1], UNSUPP],
      [[header(IN)], [], undefined],
      [[header(OUT), new Uint8Array(512)], [], undefined],
    ];
    for (const [readable, writable, status] of cases) {
      const result = harness.request(0, { readable, writable });
      assert.equal(result.data.at(-1), status);
    }
    assert.equal(harness.request(0, { readable: [header(IN)], writable: [512, 1] }).data[512], OK);
  });

  test(`${format}: an error of the host is an error of the request`, () => {
    const failing = new BlockDevice(
      {
        size: SIZE,
        writable: true,
        read: () => fail(),
        write: () => fail(),
        flush: () => fail(),
        discard: () => fail(),
        writeZeroes: () => fail(),
        resize: () => fail(),
        placeOf: () => false,
        storeToFlush: () => undefined,
        close: () => {},
      },
      { blockSize: 512, sparse: true, queues: 1, id: '' },
    );
    const other = new DeviceHarness(failing, format);
    for (const readable of [[header(IN)], [header(FLUSH)], [header(DISCARD), ranges([0, 1, 0])]]) {
      assert.equal(other.request(0, { readable, writable: [512, 1] }).data[512], IOERR);
    }
  });

  test(`${format}: a disk changes its size while it is used`, () => {
    const { device, harness } = setUp(format, { size: SIZE + 100 });
    const capacity = () => new DataView(device.config.buffer).getBigUint64(0, true);
    const last = () => harness.request(0, { readable: [header(IN, SECTORS)], writable: [512, 1] }).data[512];
    assert.equal(capacity(), BigInt(SECTORS));
    assert.equal(last(), IOERR);
    device.resize(SIZE * 2);
    assert.equal(capacity(), BigInt(SECTORS * 2));
    assert.equal(harness.configChanges, 1);
    assert.equal(last(), OK);
    device.resize(SIZE);
    assert.equal(last(), IOERR);
  });
}

test('the configuration space is that of the specification', () => {
  const { device } = setUp('split', { queues: 4, blockSize: 4096 });
  const view = new DataView(device.config.buffer);
  assert.equal(device.config.length, 60);
  assert.equal(view.getUint32(12, true), 254);
  assert.equal(view.getUint32(20, true), 4096);
  assert.equal(view.getUint16(34, true), 4);
  assert.deepEqual(device.queueSizes, [256, 256, 256, 256]);
});

test('all queues serve the same disk', () => {
  const { harness } = setUp('split', { queues: 3 });
  harness.request(0, { readable: [header(OUT, 1), new Uint8Array(512).fill(9)], writable: [1] });
  for (const queue of [1, 2]) {
    assert.equal(harness.request(queue, { readable: [header(IN, 1)], writable: [512, 1] }).data[0], 9);
  }
});

function fail(): never {
  throw new CrosvmError('E_SYSTEM', 'the disk is broken');
}
