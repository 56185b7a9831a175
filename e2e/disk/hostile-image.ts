/** Images that somebody has tampered with: whatever they say, nothing but a `CrosvmError` may come of it. */
import assert from 'node:assert/strict';
import { zstdCompressSync } from 'node:zlib';
import { imageCodec } from '../../src/base/image-codec.ts';
import { encodeCompositeIndex } from '../../src/disk/composite/composite-index.ts';
import { type Disk, type DiskFormat, Extent } from '../../src/disk/disk.ts';
import { MemoryStore } from '../../src/disk/memory-store.ts';
import { openDisk } from '../../src/disk/open-disk.ts';
import { checkImage } from '../../src/disk/qcow2/check.ts';
import { createQcow2 } from '../../src/disk/qcow2/create.ts';
import { readHeader } from '../../src/disk/qcow2/open.ts';
import { Qcow2Disk } from '../../src/disk/qcow2/qcow2-disk.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../../src/disk/qcow2/snapshots.ts';
import { DiskModel } from '../../src/disk/testing/disk-model.ts';
import { MemoryFiles } from '../../src/disk/testing/memory-files.ts';
import { applyChange, randomChange } from '../../src/disk/testing/operations.ts';
import { Random } from '../../src/disk/testing/random.ts';
import { CrosvmError } from '../../src/errors.ts';
import { bytesList } from '../../src/memory/bytes-list.ts';

export const HOSTILE_FORMATS = ['qcow2', 'composite', 'android-sparse', 'zstd'] as const satisfies DiskFormat[];
export type HostileFormat = (typeof HOSTILE_FORMATS)[number];

const PATH = '/images/image';
/** No image makes its file grow by more than this in a few requests. */
const MOST_GROWTH = 64 << 20;
const MOST_READ = 1 << 20;

/** Makes an image of `seed`, tampers with it, and uses it. Throws if something other than an error of ours comes of it. */
export function runHostileImage(format: HostileFormat, seed: number): void {
  const random = new Random(seed);
  const good = GENERATORS[format](random);
  const store = new MemoryStore(PATH, good);
  for (let i = 1 + random.below(4); i > 0; i--) tamper(store, random, format);
  const size = store.size;
  use(store, random, false);
  use(store, random, true);
  if (format === 'qcow2') repair(store);
  assert.ok(store.size <= size + MOST_GROWTH, `the file grew from ${size} to ${store.size} bytes`);
}

const GENERATORS: Readonly<Record<HostileFormat, (random: Random) => Uint8Array>> = {
  qcow2: goodQcow2,
  composite: goodComposite,
  'android-sparse': goodSparse,
  zstd: goodZstd,
};

function goodQcow2(random: Random): Uint8Array {
  const store = new MemoryStore(PATH);
  const size = (1 + random.below(512)) * 512;
  const extendedL2 = random.chance(20);
  const clusterSize = 2 ** (extendedL2 ? 14 : random.pick([9, 9, 10, 12, 16]));
  const version = extendedL2 || random.chance(80) ? 3 : 2;
  const refcountBits = version === 3 ? 2 ** random.pick([2, 4, 4, 6]) : 16;
  const compression = version === 3 && random.chance(30) ? 'zstd' : 'zlib';
  createQcow2(store, { size, clusterSize, version, extendedL2, refcountBits, compression });
  const disk = new Qcow2Disk(store, readHeader(store), { codec: imageCodec });
  const model = new DiskModel(size);
  if (compression === 'zstd') disk.writeCompressed(0, zstdCompressSync(new Uint8Array(clusterSize).fill(3)));
  for (let i = 0; i < 10; i++) applyChange(disk, model, randomChange(random), clusterSize);
  if (random.chance(50)) createSnapshot(disk.parts, 'one', 0);
  for (let i = 0; i < 5; i++) applyChange(disk, model, randomChange(random), clusterSize);
  disk.close();
  return store.contents();
}

function goodComposite(random: Random): Uint8Array {
  const paths = ['part', 'image', '../elsewhere', 'missing'];
  const components = Array.from({ length: 1 + random.below(4) }, (_, i) => ({
    path: random.pick(paths.slice(0, random.chance(70) ? 1 : 4)),
    offset: i * 4096,
    writable: random.chance(50),
  }));
  return encodeCompositeIndex({ length: components.length * 4096 + random.below(9000), components });
}

function goodSparse(random: Random): Uint8Array {
  const kinds = [0xcac1, 0xcac2, 0xcac3, 0xcac4];
  const chunks = Array.from({ length: 1 + random.below(5) }, () => ({
    kind: random.pick(kinds),
    blocks: 1 + random.below(3),
  }));
  const parts = chunks.map(({ kind, blocks }) => {
    const data = kind === 0xcac1 ? blocks * 512 : kind === 0xcac3 ? 0 : 4;
    const view = new DataView(new ArrayBuffer(12 + data));
    view.setUint16(0, kind, true);
    view.setUint32(4, blocks, true);
    view.setUint32(8, 12 + data, true);
    return new Uint8Array(view.buffer);
  });
  const header = new DataView(new ArrayBuffer(28));
  header.setUint32(0, 0xed26ff3a, true);
  header.setUint16(4, 1, true);
  header.setUint16(8, 28, true);
  header.setUint16(10, 12, true);
  header.setUint32(12, 512, true);
  header.setUint32(
    16,
    chunks.reduce((sum, { kind, blocks }) => sum + (kind === 0xcac4 ? 0 : blocks), 0),
    true,
  );
  header.setUint32(20, chunks.length, true);
  return Buffer.concat([new Uint8Array(header.buffer), ...parts]);
}

function goodZstd(random: Random): Uint8Array {
  const sizes = Array.from({ length: 1 + random.below(5) }, () => random.below(5000));
  const frames = sizes.map((size) => zstdCompressSync(new Uint8Array(size).fill(random.below(256))));
  const table = new DataView(new ArrayBuffer(8 + sizes.length * 8 + 9));
  table.setUint32(0, 0x184d2a5e, true);
  table.setUint32(4, table.byteLength - 8, true);
  sizes.forEach((size, i) => {
    table.setUint32(8 + i * 8, frames[i]!.length, true);
    table.setUint32(12 + i * 8, size, true);
  });
  table.setUint32(table.byteLength - 9, sizes.length, true);
  table.setUint32(table.byteLength - 4, 0x8f92eab1, true);
  return Buffer.concat([...frames, new Uint8Array(table.buffer)]);
}

/** Changes a byte, a number, or the length. Numbers of qcow2 are big-endian and often places in the file. */
function tamper(store: MemoryStore, random: Random, format: HostileFormat): void {
  const place = () => (random.chance(50) ? random.below(Math.min(store.size, 128)) : random.below(store.size));
  const kind = random.below(10);
  if (store.size < 8) return;
  if (kind === 0) store.resize(random.below(store.size) + 1);
  else if (kind < 3) store.write(place(), new Uint8Array([random.below(256)]));
  else {
    const wide = random.chance(60);
    const view = new DataView(new ArrayBuffer(wide ? 8 : 4));
    const little = format !== 'qcow2';
    const low = interesting(random, store.size);
    if (wide) {
      const high = random.pick([0, 0, 0, 0x8000_0000, 0xc000_0000, 0x4000_0000, 0xffff_ffff, 0x00ff_ffff, 1]);
      view.setUint32(little ? 4 : 0, high, little);
      view.setUint32(little ? 0 : 4, low, little);
    } else view.setUint32(0, low, little);
    const at = Math.floor(place() / 4) * 4;
    store.write(Math.min(at, store.size - view.byteLength), new Uint8Array(view.buffer));
  }
}

function interesting(random: Random, size: number): number {
  const inFile = Math.floor(random.below(size) / 512) * 512;
  return random.pick([
    0,
    1,
    2,
    512,
    0x7fff_ffff,
    0xffff_ffff,
    0x8000_0000,
    inFile,
    inFile,
    inFile + 1,
    size,
    size + 65536,
  ]);
}

/** Opens the image and does what a VM would; errors of ours are what should happen. */
function use(store: MemoryStore, random: Random, writable: boolean): void {
  const files = new MemoryFiles();
  files.add(writable ? store : new MemoryStore(PATH, store.contents(), false));
  files.add(new MemoryStore('/images/part', new Uint8Array(4096).fill(1), writable));
  files.add(new MemoryStore('/elsewhere', new Uint8Array(4096)));
  const before = writable ? undefined : store.contents();
  let disk: Disk | undefined;
  expected(() => {
    disk = openDisk({ files, codec: imageCodec }, PATH, { writable });
  });
  if (disk === undefined) return;
  const { size } = disk;
  readAround(disk, random);
  for (let i = 0; writable && i < 12 && size >= 512; i++) expected(() => change(disk!, random));
  if (writable && disk instanceof Qcow2Disk) {
    const { parts } = disk;
    expected(() => createSnapshot(parts, 'two', 0));
    expected(() => applySnapshot(parts, random.pick(['one', 'two'])));
    expected(() => deleteSnapshot(parts, random.pick(['one', 'two'])));
    expected(() => disk!.resize(size + 65536));
  }
  expected(() => disk!.flush());
  expected(() => disk!.close());
  if (before !== undefined) assert.deepEqual(store.contents(), before, 'an image that is only read does not change');
}

function change(disk: Disk, random: Random): void {
  const offset = random.below(Math.floor(disk.size / 512)) * 512;
  const length = Math.min(disk.size - offset, (1 + random.below(20)) * 512);
  const kind = random.below(4);
  if (kind < 2) disk.write(offset, bytesList(new Uint8Array(length).fill(kind)));
  else if (kind === 2) disk.writeZeroes(offset, length, random.chance(50));
  else disk.discard(offset, length);
}

function readAround(disk: Disk, random: Random): void {
  const extent = new Extent();
  for (let i = 0; i < 20 && disk.size > 0; i++) {
    const offset = i === 0 ? 0 : random.below(disk.size);
    const length = Math.min(disk.size - offset, random.below(MOST_READ) + 1);
    expected(() => disk.read(offset, bytesList(new Uint8Array(length))));
    expected(() => {
      disk.locate(offset, length, extent);
      assert.ok(extent.length > 0 && extent.length <= length, `an extent of ${extent.length} of ${length} bytes`);
    });
  }
}

/** What a repair calls sound is sound. */
function repair(store: MemoryStore): void {
  expected(() => {
    const { left } = checkImage(store, readHeader(store), 'all');
    if (left.errors > 0) return;
    const again = checkImage(store, readHeader(store)).found;
    assert.deepEqual([again.errors, again.leaks], [0, 0], again.messages.join('; '));
  });
}

function expected(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof CrosvmError)) throw error;
    assert.ok(error.message.length < 500 && !error.message.includes('\n'), error.message);
  }
}
