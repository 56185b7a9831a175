import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../../base/image-codec.ts';
import { MemoryStore } from '../memory-store.ts';
import { DiskModel, readDisk } from '../testing/disk-model.ts';
import { FailingStore } from '../testing/failing-stores.ts';
import { applyChange, randomChange } from '../testing/operations.ts';
import { Random } from '../testing/random.ts';
import { checkImage } from './check.ts';
import { type CreateOptions, createQcow2 } from './create.ts';
import { readHeader } from './open.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { createSnapshot } from './snapshots.ts';

const SIZE = 96 << 10;

/** Changes an image, with the call of number `failing` refused and what it belonged to tried again; the calls in all. */
function run(shape: Omit<CreateOptions, 'size'>, failing: number): number {
  const base = new MemoryStore('image');
  createQcow2(base, { ...shape, size: SIZE });
  const store = new FailingStore(base);
  const disk = new Qcow2Disk(store, readHeader(store), { codec: imageCodec, l2CacheBytes: 2048 });
  const model = new DiskModel(SIZE);
  store.remaining = failing;
  const trying = (work: () => void) => {
    try {
      work();
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'E_SYSTEM');
      work();
    }
  };
  for (let i = 0; i < 25; i++) {
    trying(() => applyChange(disk, model, randomChange(new Random(i)), disk.parts.image.subclusterSize));
    if (i % 8 === 7) trying(() => disk.flush());
  }
  trying(() => disk.finish());
  store.remaining = Number.POSITIVE_INFINITY;
  const about = `call ${failing}`;
  assert.deepEqual(readDisk(disk), model.contents, about);
  const again = new Qcow2Disk(base, readHeader(base), { codec: imageCodec });
  assert.deepEqual(readDisk(again), model.contents, about);
  const { errors, messages } = checkImage(base, readHeader(base)).found;
  assert.equal(errors, 0, `${about}: ${messages.join('; ')}`);
  return store.calls;
}

for (const shape of [
  { clusterSize: 512 },
  { clusterSize: 512, refcountBits: 64 },
  { clusterSize: 16384, extendedL2: true },
]) {
  test(`a write or flush that fails, each in turn: ${JSON.stringify(shape)}`, () => {
    const calls = run(shape, Number.POSITIVE_INFINITY);
    assert.ok(calls > 50);
    for (let failing = 0; failing < calls; failing++) run(shape, failing);
  });
}

test('a snapshot that fails at any write leaves an image that repairs itself', () => {
  for (let failing = 0; ; failing++) {
    const base = new MemoryStore('image');
    createQcow2(base, { clusterSize: 512, size: SIZE });
    const store = new FailingStore(base);
    const disk = new Qcow2Disk(store, readHeader(store), { codec: imageCodec });
    const model = new DiskModel(SIZE);
    for (let i = 0; i < 10; i++) applyChange(disk, model, randomChange(new Random(i)), 512);
    disk.flush();
    store.remaining = failing;
    let failed = false;
    try {
      createSnapshot(disk.parts, 'one', 0);
    } catch {
      failed = true;
    }
    store.remaining = Number.POSITIVE_INFINITY;
    assert.equal(checkImage(base, readHeader(base), 'all').left.errors, 0, `call ${failing}`);
    const again = new Qcow2Disk(base, readHeader(base), { codec: imageCodec });
    assert.deepEqual(readDisk(again), model.contents, `call ${failing}`);
    if (!failed) break;
  }
});
