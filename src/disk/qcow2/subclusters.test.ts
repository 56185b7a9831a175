/** Extended L2 entries: what is erased by subclusters. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import { Extent } from '../disk.ts';
import { MemoryStore } from '../memory-store.ts';
import { RawDisk } from '../raw.ts';
import { readDisk } from '../testing/disk-model.ts';
import { checkImage } from './check.ts';
import { createQcow2 } from './create.ts';
import { readHeader } from './open.ts';
import { Qcow2Disk } from './qcow2-disk.ts';

const CLUSTER = 16384;
const SUB = CLUSTER / 32;
const SIZE = 4 * CLUSTER;

/** An image of 7s over a backing file of 3s. */
function written() {
  const store = new MemoryStore('image');
  createQcow2(store, {
    size: SIZE,
    clusterSize: CLUSTER,
    extendedL2: true,
    backingFile: 'below',
    backingFormat: 'raw',
  });
  const backing = new RawDisk(new MemoryStore('below', new Uint8Array(SIZE).fill(3), false));
  const disk = new Qcow2Disk(store, readHeader(store), { codec: imageCodec, backing });
  disk.write(0, bytesList(new Uint8Array(SIZE).fill(7)));
  return { store, disk };
}

function allocated(store: MemoryStore): number {
  const { errors, leaks, allocatedClusters } = checkImage(store, readHeader(store)).found;
  assert.deepEqual([errors, leaks], [0, 0]);
  return allocatedClusters;
}

/** Where the bytes at an offset lie in the image. */
function hostOf(disk: Qcow2Disk, offset: number): number {
  const extent = new Extent();
  disk.locate(offset, SUB, extent);
  assert.equal(extent.kind, 'data');
  return extent.offset;
}

for (const [name, erase] of [
  ['discard', (disk: Qcow2Disk, at: number, length: number) => disk.discard(at, length)],
  ['zeroes that may unmap', (disk: Qcow2Disk, at: number, length: number) => disk.writeZeroes(at, length, true)],
] as const) {
  test(`${name}: subclusters become zeroes, their space is given back, and in the end the cluster`, () => {
    const { store, disk } = written();
    const host = hostOf(disk, 0);
    erase(disk, 2 * SUB, 3 * SUB);
    const expected = new Uint8Array(SIZE).fill(7).fill(0, 2 * SUB, 5 * SUB);
    assert.deepEqual(readDisk(disk), expected);
    // In the file as well: a hole, without a new cluster.
    assert.deepEqual(store.contents().subarray(host + 2 * SUB, host + 5 * SUB), new Uint8Array(3 * SUB));
    disk.finish();
    assert.equal(allocated(store), 4);
    erase(disk, 0, 2 * SUB);
    erase(disk, 5 * SUB, CLUSTER - 5 * SUB);
    assert.deepEqual(readDisk(disk), expected.fill(0, 0, CLUSTER));
    disk.finish();
    assert.equal(allocated(store), 3);
  });
}

test('zeroes that keep their place take no write of data, and the place is used again', () => {
  const { store, disk } = written();
  const host = hostOf(disk, 0);
  disk.writeZeroes(0, 2 * SUB, false);
  assert.deepEqual(readDisk(disk, 0, 3 * SUB), new Uint8Array(3 * SUB).fill(7, 2 * SUB));
  assert.deepEqual(store.contents().subarray(host, host + SUB), new Uint8Array(SUB).fill(7));
  disk.write(SUB, bytesList(new Uint8Array(SUB).fill(9)));
  assert.equal(hostOf(disk, SUB), host + SUB);
  assert.deepEqual([...readDisk(disk, SUB - 1, 2)], [0, 9]);
  disk.finish();
  assert.equal(allocated(store), 4);
});

test('a discard over the ends of clusters, and parts of subclusters', () => {
  const { store, disk } = written();
  disk.discard(CLUSTER - SUB - 1, CLUSTER + 2 * SUB + 2);
  const expected = new Uint8Array(SIZE).fill(7).fill(0, CLUSTER - SUB, 2 * CLUSTER + SUB);
  assert.deepEqual(readDisk(disk), expected);
  disk.writeZeroes(3 * CLUSTER - 100, 200, true);
  assert.deepEqual(readDisk(disk), expected.fill(0, 3 * CLUSTER - 100, 3 * CLUSTER + 100));
  disk.discard(SIZE - SUB, SUB);
  assert.deepEqual(readDisk(disk), expected.fill(0, SIZE - SUB));
  disk.finish();
  assert.equal(allocated(store), 3);
});

test('of compressed clusters, a discard of a part leaves the part, and zeroes are written', () => {
  const { store, disk } = written();
  disk.discard(0, CLUSTER);
  disk.flush();
  assert.ok(disk.writeCompressed(0, imageCodec.compress('zlib', new Uint8Array(CLUSTER).fill(5))));
  disk.discard(SUB, SUB);
  assert.equal(readDisk(disk, SUB, 1)[0], 5);
  disk.writeZeroes(SUB, SUB, true);
  assert.deepEqual([...readDisk(disk, SUB - 1, 2)], [5, 0]);
  assert.deepEqual([...readDisk(disk, 2 * SUB - 1, 2)], [0, 5]);
  disk.finish();
  assert.equal(allocated(store), 4);
});
