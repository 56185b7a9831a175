import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import { MemoryStore } from '../memory-store.ts';
import { readDisk } from '../testing/disk-model.ts';
import { checkImage } from './check.ts';
import { type CreateOptions, createQcow2 } from './create.ts';
import { HEADER_READ_LENGTH, parseHeader } from './header.ts';
import { compressedEntryHi } from './l2-entry.ts';
import { HI_COMPRESSED, HI_COPIED, INCOMPATIBLE_CORRUPT, TWO_32 } from './layout.ts';
import { readHeader } from './open.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { applySnapshot, createSnapshot, deleteSnapshot, listSnapshots } from './snapshots.ts';

const SIZE = 1 << 20;
const CLUSTER = 4096;

function image(options: Partial<CreateOptions> = {}): MemoryStore {
  const store = new MemoryStore('x');
  createQcow2(store, { size: SIZE, clusterSize: CLUSTER, ...options });
  return store;
}

const open = (store: MemoryStore) => new Qcow2Disk(store, readHeader(store), { codec: imageCodec });
const readOnly = (store: MemoryStore) => open(new MemoryStore('x', store.contents(), false));
const filled = (length: number, byte: number) => bytesList(new Uint8Array(length).fill(byte));

function u32(store: MemoryStore, at: number, value: number): void {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value);
  store.write(at, new Uint8Array(view.buffer));
}

function u64(store: MemoryStore, at: number, value: number, hiFlags = 0): void {
  u32(store, at, (Math.floor(value / TWO_32) | hiFlags) >>> 0);
  u32(store, at + 4, value % TWO_32);
}

/** Offset and new value of a 32-bit field of the header, and what is said of it. */
const HEADERS: readonly (readonly [string, number, number, RegExp])[] = [
  ['another magic', 0, 0x12345678, /not a qcow2 image/],
  ['version 1', 4, 1, /version 1 is not supported/],
  ['version 4', 4, 4, /version 4 is not supported/],
  ['clusters of 256 bytes', 20, 8, /clusters of 2\^8 bytes/],
  ['clusters of 4 MiB', 20, 22, /clusters of 2\^22 bytes/],
  ['clusters beyond reason', 20, 0xffff_ffff, /clusters of 2\^4294967295 bytes/],
  ['a size beyond 2^53', 24, 0x7fff_ffff, /virtual size is too large/],
  ['a size beyond the L1 table', 24, 1, /L1 table of 1 entries is too small/],
  ['encryption', 32, 1, /encrypted/],
  ['an L1 table of 4 GB', 36, 0x2000_0000, /L1 table of 536870912 entries/],
  ['an L1 table that is too short', 36, 0, /L1 table of 0 entries is too small/],
  ['an L1 table beyond 2^53', 40, 0xffff_ffff, /offset of the L1 table is too large/],
  ['an L1 table between clusters', 44, 0x3001, /L1 table at offset 12289/],
  ['an L1 table over the header', 44, 0, /L1 table at offset 0/],
  ['a refcount table between clusters', 52, 0x200, /refcount table at offset 512/],
  ['a refcount table over the header', 52, 0, /refcount table at offset 0/],
  ['no refcount table', 56, 0, /refcount table of 0 bytes/],
  ['a refcount table of 16 TB', 56, 0xffff_ffff, /refcount table of 17592186040320 bytes/],
  ['too many snapshots', 60, 65537, /65537 snapshots/],
  ['snapshots over the header', 60, 1, /snapshot table at offset 0/],
  ['an unknown feature', 76, 0x8000_0000, /features that are not supported: bits 0x80000000/],
  ['an unknown feature of the upper half', 72, 1, /features that are not supported/],
  ['extended L2 entries in small clusters', 76, 16, /extended L2 entries with clusters of less/],
  ['compression that contradicts its bit', 76, 8, /contradict each other/],
  ['an unknown compression', 104, 0x0200_0000, /compression type 2/],
  ['reference counts of 128 bits', 96, 7, /reference counts of 2\^7 bits/],
  ['a header that is too short', 100, 96, /a length of 96 bytes/],
  ['a header of odd length', 100, 109, /a length of 109 bytes/],
  ['a header longer than a cluster', 100, 8192, /longer than a cluster/],
  ['an extension that does not fit', 116, 0x7fff_ffff, /extension of 2147483647 bytes does not fit/],
  ['a data file without a name', 76, 4, /name of the external data file is missing/],
];

for (const [what, at, value, message] of HEADERS) {
  test(`a header with ${what}`, () => {
    const store = image();
    u32(store, at, value);
    const before = store.contents();
    assert.throws(() => open(store), { name: 'CrosvmError', message });
    assert.deepEqual(store.contents(), before, 'nothing was written to it');
  });
}

test('an unknown feature is called by the name that the image has for it', () => {
  const store = image();
  const names = store.contents().indexOf(0x64, 100); // "dirty bit", the first name
  store.write(names - 1, new Uint8Array([9]));
  store.write(names, new TextEncoder().encode('time travel\0'));
  u32(store, 76, 1 << 9);
  assert.throws(() => open(store), /features that are not supported: "time travel"/);
});

test('a backing file name that is too long, or beyond the cluster', () => {
  for (const [offset, length] of [
    [512, 1024],
    [CLUSTER - 10, 20],
    [1 << 30, 10],
  ] as const) {
    const store = image();
    u64(store, 8, offset);
    u32(store, 16, length);
    assert.throws(() => open(store), /backing file name is too long/);
  }
});

test('a file that is cut off anywhere in the header', () => {
  const whole = image().contents();
  for (let length = 0; length < 112; length += 4) {
    assert.throws(() => parseHeader('x', whole.subarray(0, length)), { name: 'CrosvmError' }, `${length} bytes`);
  }
  assert.ok(whole.length < HEADER_READ_LENGTH);
});

test('tables over each other: the image can be read, but not written', () => {
  for (const field of [40, 48]) {
    const store = image();
    const header = readHeader(store);
    u64(store, field, field === 40 ? header.refcountTableOffset : header.l1Offset);
    assert.throws(() => open(store), {
      code: 'E_DISK_CORRUPT',
      message: /overlaps another table|reserved bits|aligned/,
    });
    assert.equal(readHeader(store).incompatible & INCOMPATIBLE_CORRUPT, INCOMPATIBLE_CORRUPT);
  }
});

/** An image with data in its first cluster, and where its first L2 table lies. */
function withData(options: Partial<CreateOptions> = {}): { store: MemoryStore; l2: number } {
  const store = image(options);
  const disk = open(store);
  disk.write(0, filled(CLUSTER, 7));
  disk.close();
  return { store, l2: open(store).parts.mapping.l1.offset(0) };
}

test('guest data in the place of tables are not written there', () => {
  const header = readHeader(image());
  const { l2 } = withData();
  for (const host of [0, header.l1Offset, header.refcountTableOffset, header.refcountTableOffset + CLUSTER, l2]) {
    const { store } = withData();
    u64(store, l2, host, HI_COPIED);
    const before = store.contents();
    if (host === 0) continue; // reads as "nothing here", which is harmless
    const disk = open(store);
    assert.throws(() => disk.write(0, filled(512, 9)), { code: 'E_DISK_CORRUPT', message: /share cluster/ }, `${host}`);
    assert.equal(disk.writable, false);
    assert.throws(() => disk.write(CLUSTER, filled(512, 9)), { code: 'E_DISK_READ_ONLY' });
    assert.deepEqual(store.contents().subarray(CLUSTER), before.subarray(CLUSTER));
  }
});

test('guest data beyond the end of the file', () => {
  const { store, l2 } = withData();
  u64(store, l2, 2 ** 45, HI_COPIED);
  assert.deepEqual(readDisk(readOnly(store), 0, 10), new Uint8Array(10));
  assert.throws(() => open(store).write(0, filled(512, 9)), { message: /beyond the end of the file/ });
  assert.ok(store.size < 1 << 20);
});

test('entries that mean nothing', () => {
  for (const [offset, flags] of [
    [512, HI_COPIED], // between clusters
    [CLUSTER * 3 + 2, HI_COPIED], // reserved bits
    [CLUSTER * 3, HI_COPIED | 0x0100_0000],
  ] as const) {
    const { store, l2 } = withData();
    u64(store, l2, offset, flags);
    assert.throws(() => readDisk(readOnly(store)), { code: 'E_DISK_CORRUPT', message: /an L2 entry is/ });
    assert.throws(() => open(store).write(0, filled(512, 9)), { code: 'E_DISK_CORRUPT' });
    assert.ok(checkImage(store, readHeader(store)).found.errors > 0);
  }
  const { store } = withData();
  u64(store, readHeader(store).l1Offset, 2 ** 50, HI_COPIED);
  assert.throws(() => readDisk(readOnly(store)), { message: /L2 table at offset .* not within the file/ });
});

test('a repair makes what means nothing read as zeroes, and leaves the rest', () => {
  const shapes: Partial<CreateOptions>[] = [{}, { version: 2 }, { clusterSize: 16384, extendedL2: true }];
  for (const options of shapes) {
    const { clusterSize = CLUSTER, extendedL2 = false } = options;
    const size = extendedL2 ? 16 : 8;
    const bad: [offset: number, hi: number, bitmaps?: [zeroes: number, allocated: number]][] = [
      [2 ** 45, HI_COPIED],
      [512, HI_COPIED],
      [clusterSize * 3 + 2, HI_COPIED],
      [2 ** 45, HI_COMPRESSED],
      ...(extendedL2
        ? [[0, 0, [0, 1]] as [number, number, [number, number]], [clusterSize * 3, HI_COPIED, [3, 1]] as never]
        : []),
    ];
    for (const [offset, hi, bitmaps] of bad) {
      const store = image(options);
      const disk = open(store);
      for (const i of [0, 1, 2]) disk.write(i * clusterSize, filled(clusterSize, 7 + i));
      disk.close();
      const entry = open(store).parts.mapping.l1.offset(0) + size;
      u64(store, entry, offset, hi);
      if (bitmaps !== undefined) for (const i of [0, 1]) u32(store, entry + 8 + 4 * i, bitmaps[i]!);
      const { found, left } = checkImage(store, readHeader(store), 'all');
      const about = `${JSON.stringify(options)} ${offset} ${hi}`;
      assert.ok(found.errors > 0, about);
      assert.deepEqual([left.errors, left.leaks], [0, 0], `${about}: ${left.messages.join('; ')}`);
      const bytes = readDisk(open(store));
      for (const [i, value] of [7, 0, 9].entries()) {
        const cluster = bytes.subarray(i * clusterSize, (i + 1) * clusterSize);
        assert.ok(
          cluster.every((byte) => byte === value),
          `${about}: cluster ${i}`,
        );
      }
    }
  }
});

test('a repair destroys no guest data that some entry calls a table', () => {
  const { store } = withData({ size: 4 << 20 });
  const { host } = open(store).parts.mapping.at(0);
  u64(store, readHeader(store).l1Offset + 8, host, HI_COPIED);
  assert.ok(checkImage(store, readHeader(store), 'all').found.errors > 0);
  assert.deepEqual(store.contents().subarray(host, host + CLUSTER), new Uint8Array(CLUSTER).fill(7));
  assert.deepEqual(readDisk(open(store), 0, CLUSTER), new Uint8Array(CLUSTER).fill(7));
});

test('a used cluster whose reference count is 0 is not given out', () => {
  for (const cluster of [0, 1, 2, 3, 4]) {
    const { store } = withData();
    const { refcountTableOffset } = readHeader(store);
    const block = refcountTableOffset + CLUSTER;
    store.write(block + cluster * 2, new Uint8Array([0, 0]));
    const before = store.contents().subarray(0, 5 * CLUSTER);
    assert.throws(() => open(store).write(CLUSTER, filled(512, 9)), {
      message: /holds tables, but its reference count is 0/,
    });
    before[79] = INCOMPATIBLE_CORRUPT; // the mark
    assert.deepEqual(store.contents().subarray(0, 5 * CLUSTER), before);
    assert.equal(checkImage(store, readHeader(store), 'all').left.errors, 0);
    open(store).write(CLUSTER, filled(512, 9));
  }
});

test('compressed data that are no cluster: a bomb, noise, too short, beyond the end', () => {
  const bad = [
    deflateRawSync(new Uint8Array(1 << 20)),
    new Uint8Array(200).fill(0xff),
    deflateRawSync(new Uint8Array(CLUSTER - 1)),
    new Uint8Array(0),
  ];
  for (const packed of bad) {
    const { store, l2 } = withData();
    const offset = Math.ceil(store.size / CLUSTER) * CLUSTER;
    store.write(offset, packed);
    u32(store, l2, compressedEntryHi(12, offset, Math.max(1, packed.length)));
    u32(store, l2 + 4, offset);
    assert.throws(() => readDisk(readOnly(store), 0, 10), { code: 'E_DISK_CORRUPT', message: /compressed data/ });
  }
});

test('two L1 entries that lead to one table are found', () => {
  const store = image({ size: 1 << 30 });
  const disk = open(store);
  disk.write(0, filled(CLUSTER, 7));
  disk.close();
  const { l1Offset, l1Size } = readHeader(store);
  const l2 = open(store).parts.mapping.l1.offset(0);
  for (let i = 1; i < l1Size; i++) u64(store, l1Offset + i * 8, l2, HI_COPIED);
  assert.throws(() => open(store), { message: /overlaps another table/ });
  assert.ok(checkImage(store, readHeader(store)).found.errors >= l1Size - 1);
});

/** Counts the bytes that are read. */
class CountingStore extends MemoryStore {
  bytesRead = 0;

  override read(offset: number, target: Uint8Array): void {
    this.bytesRead += target.length;
    super.read(offset, target);
  }
}

test('a large table that a million L1 entries lead to is read but a few times for a check', () => {
  const entries = 1 << 20;
  const store = image({ clusterSize: 2 << 20 });
  const disk = open(store);
  disk.write(0, filled(512, 7));
  disk.close();
  const l2 = open(store).parts.mapping.l1.offset(0);
  const l1 = new DataView(new ArrayBuffer(entries * 8));
  for (let i = 0; i < entries; i++) l1.setBigUint64(i * 8, BigInt(l2));
  const offset = Math.ceil(store.size / (2 << 20)) * (2 << 20);
  store.write(offset, new Uint8Array(l1.buffer));
  u32(store, 36, entries);
  u64(store, 40, offset);
  const counting = new CountingStore('x', store.contents());
  const { errors, messages } = checkImage(counting, readHeader(counting)).found;
  assert.ok(errors >= entries - 1);
  assert.ok(messages.length <= 101);
  assert.ok(counting.bytesRead < 4 * store.size);
});

test('a file with a hole of terabytes between its clusters', () => {
  const farAt = (far: number) => {
    const { store, l2 } = withData();
    u64(store, l2, far, HI_COPIED);
    store.write(far, new Uint8Array(CLUSTER).fill(5));
    return store;
  };
  const store = farAt(2 ** 42);
  const { found, left } = checkImage(store, readHeader(store), 'all');
  assert.deepEqual([found.errors, left.errors, left.leaks], [1, 0, 0]);
  assert.deepEqual(readDisk(open(store), 0, CLUSTER), new Uint8Array(CLUSTER).fill(5));
  // Further than a refcount table of the largest size reaches.
  const tooFar = farAt(2 ** 43);
  assert.throws(() => checkImage(tooFar, readHeader(tooFar), 'all'), { code: 'E_DISK_FULL' });
  assert.deepEqual(readDisk(open(tooFar), 0, CLUSTER), new Uint8Array(CLUSTER).fill(5));
});

test('a snapshot whose L1 table leads to one table twice is neither applied nor deleted', () => {
  const store = image({ size: 8 << 20 });
  const disk = open(store);
  for (let at = 0; at < disk.size; at += 1 << 20) disk.write(at, filled(512, 7));
  createSnapshot(disk.parts, 'one', 0);
  const [{ l1Offset } = { l1Offset: 0 }] = listSnapshots(disk.parts);
  disk.close();
  store.write(l1Offset + 8, store.contents().slice(l1Offset, l1Offset + 8));
  for (const change of [applySnapshot, deleteSnapshot]) {
    const again = open(new MemoryStore('x', store.contents()));
    assert.throws(() => change(again.parts, 'one'), { code: 'E_DISK_CORRUPT', message: /twice/ });
  }
});

test('an image that was only read was not written', () => {
  const { store } = withData();
  const before = store.contents();
  const disk = readOnly(store);
  readDisk(disk);
  disk.flush();
  disk.close();
  assert.throws(() => disk.write(0, filled(512, 1)), { code: 'E_DISK_READ_ONLY' });
  assert.deepEqual(store.contents(), before);
});
