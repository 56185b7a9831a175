import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { test } from 'node:test';
import { MemoryStore } from '../disk/memory-store.ts';
import { checkImage } from '../disk/qcow2/check.ts';
import { createQcow2 } from '../disk/qcow2/create.ts';
import { readHeader } from '../disk/qcow2/open.ts';
import { Qcow2Disk } from '../disk/qcow2/qcow2-disk.ts';
import { RawDisk } from '../disk/raw.ts';
import { readDisk } from '../disk/testing/disk-model.ts';
import { copyCompressed } from '../disk/tools/copy.ts';
import { LocalPacker, type Packer } from '../disk/tools/packer.ts';
import { imageCodec } from './image-codec.ts';
import { ThreadPacker } from './thread-packer.ts';

/** Text, noise and zeroes; the end of the disk is in the middle of a cluster. */
function contents(): Uint8Array {
  const bytes = new Uint8Array((9 << 20) + 1536);
  for (let at = 0, i = 0; at < bytes.length; at += 50_000, i++) {
    const piece = bytes.subarray(at, at + 50_000);
    if (i % 3 === 0) piece.fill(i);
    else if (i % 7 === 1) randomFillSync(piece);
  }
  return bytes;
}

for (const [compression, clusterSize] of [
  ['zlib', 4096],
  ['zstd', 65536],
  ['zstd', 2 << 20],
] as const) {
  test(`a compressed copy by threads is the same as without: ${compression}, clusters of ${clusterSize}`, async () => {
    const bytes = contents();
    const copy = (packer: Packer) => {
      const store = new MemoryStore('image');
      createQcow2(store, { size: bytes.length, clusterSize, compression });
      const target = new Qcow2Disk(store, readHeader(store), { codec: imageCodec });
      copyCompressed(new RawDisk(new MemoryStore('disk', bytes)), target, packer, () => {});
      assert.deepEqual(readDisk(target), bytes);
      target.finish();
      const { errors, leaks } = checkImage(store, readHeader(store)).found;
      assert.deepEqual([errors, leaks], [0, 0]);
      return store.contents();
    };
    const packer = new ThreadPacker(compression, clusterSize);
    try {
      assert.deepEqual(copy(packer), copy(new LocalPacker(imageCodec, compression, clusterSize)));
    } finally {
      await packer.close();
    }
  });
}

test('a thread that fails says so', async () => {
  const packer = new ThreadPacker('zstd', 4096);
  try {
    packer.start(0, packer.room + 1); // more than there is room for
    assert.throws(() => packer.finish(0), { code: 'E_DISK_COMPRESS' });
  } finally {
    await packer.close();
  }
});
