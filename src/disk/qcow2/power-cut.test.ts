import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../bytes-list.ts';
import { MemoryStore } from '../memory-store.ts';
import { DiskModel, PowerCutStore, Random, randomChange, readDisk } from '../testing.ts';
import { checkImage } from './check.ts';
import { type CreateOptions, createQcow2 } from './create.ts';
import { INCOMPATIBLE_DIRTY } from './layout.ts';
import { readHeader } from './open.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from './snapshots.ts';
import { TableLog } from './table-log.ts';

const SIZE = 192 << 10;
const SEEDS = Number(process.env.CROSVM_TEST_POWER_CUTS ?? 3);

const SHAPES: readonly Omit<CreateOptions, 'size'>[] = [
  { clusterSize: 512 },
  { clusterSize: 512, refcountBits: 64 },
  { clusterSize: 4096, refcountBits: 1 },
  { clusterSize: 1024, version: 2 },
  { clusterSize: 16384, extendedL2: true },
  { clusterSize: 65536 },
];

function open(store: MemoryStore | PowerCutStore): Qcow2Disk {
  const log = new TableLog(new Uint8Array(4096), store.name); // as a disk of a VM has one
  return new Qcow2Disk(store, readHeader(store), { codec: imageCodec, l2CacheBytes: 4096, log });
}

/** The image is sound, or says that it has to be repaired and can be; and holds what was flushed. */
function verify(store: MemoryStore, model: DiskModel, about: string): void {
  const header = readHeader(store);
  const dirty = (header.incompatible & INCOMPATIBLE_DIRTY) !== 0;
  const { errors, messages } = checkImage(store, header, dirty ? 'all' : 'none').left;
  assert.equal(errors, 0, `${about}: ${messages.join('; ')}`);
  const wrong = model.wrongSector(readDisk(open(store)));
  assert.equal(wrong, undefined, `${about}: sector ${wrong} is not what was flushed`);
}

for (const shape of SHAPES) {
  test(`a power cut at any write leaves a sound image with all that was flushed: ${JSON.stringify(shape)}`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const base = new MemoryStore('image');
      createQcow2(base, { ...shape, size: SIZE });
      const store = new PowerCutStore(base);
      const disk = open(store);
      const model = new DiskModel(SIZE);
      const unit = disk.parts.image.clusterSize;
      let cuts = 0;
      store.onChange = () => {
        if (random.chance(8)) verify(store.cut(random), model, `seed ${seed}, cut ${cuts++}`);
      };
      for (let i = 0; i < 120; i++) {
        randomChange(disk, model, random, unit);
        if (!random.chance(12)) continue;
        disk.flush();
        model.flushed();
      }
      disk.close();
      model.flushed();
      assert.ok(cuts > 3);
      store.onChange = undefined;
      assert.deepEqual(readDisk(open(base)), model.contents);
      const { errors, leaks } = checkImage(base, readHeader(base)).found;
      assert.deepEqual({ errors, leaks }, { errors: 0, leaks: 0 });
    }
  });
}

test('a power cut while snapshots are made, applied and deleted', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const base = new MemoryStore('image');
    createQcow2(base, { clusterSize: 512, size: SIZE });
    const store = new PowerCutStore(base);
    const disk = open(store);
    const model = new DiskModel(SIZE);
    let saved: Uint8Array | undefined;
    store.onChange = () => {
      const percent = store.isPendingBelow(512) ? 60 : 4;
      if (random.chance(percent)) verify(store.cut(random), model, `seed ${seed}`);
    };
    for (let i = 0; i < 40; i++) {
      randomChange(disk, model, random, 512);
      if (!random.chance(25)) continue;
      disk.flush();
      model.flushed();
      if (saved === undefined) {
        createSnapshot(disk.parts, 'one', 0);
        saved = model.contents.slice();
      } else if (random.chance(50)) {
        model.write(0, saved, SIZE);
        applySnapshot(disk.parts, 'one');
        model.flushed();
      } else {
        deleteSnapshot(disk.parts, 'one');
        saved = undefined;
      }
      assert.deepEqual(readDisk(disk), model.contents);
    }
    disk.close();
    const { errors, leaks } = checkImage(base, readHeader(base)).found;
    assert.deepEqual({ errors, leaks }, { errors: 0, leaks: 0 });
  }
});

test('a power cut while the refcount table moves, and the L1 table', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const base = new MemoryStore('image');
    // Wide counts, so that the first table is soon too small.
    createQcow2(base, { clusterSize: 512, refcountBits: 64, size: 64 << 10 });
    const store = new PowerCutStore(base);
    const disk = open(store);
    const { refcountTableOffset, l1Offset } = disk.parts.image.header;
    const model = new DiskModel(3 << 20);
    let cuts = 0;
    const cut = () => {
      const left = store.cut(random);
      assert.equal(checkImage(left, readHeader(left)).found.errors, 0, `seed ${seed}`);
      const found = new Uint8Array(model.contents.length);
      found.set(readDisk(open(left)));
      assert.equal(model.wrongSector(found), undefined, `seed ${seed}`);
      cuts++;
    };
    // Above all when the header has just been led to another table.
    store.onChange = () => {
      const times = store.isPendingBelow(512) ? 4 : random.chance(3) ? 1 : 0;
      for (let i = 0; i < times; i++) cut();
    };
    disk.resize(3 << 20);
    for (let at = 0; at < disk.size; at += 16384) {
      const bytes = new Uint8Array(16384).fill(1 + random.below(255));
      model.write(at, bytes, bytes.length);
      disk.write(at, bytesList(bytes));
      if (!random.chance(10)) continue;
      disk.flush();
      model.flushed();
    }
    disk.close();
    assert.notEqual(disk.parts.image.header.refcountTableOffset, refcountTableOffset);
    assert.notEqual(disk.parts.image.header.l1Offset, l1Offset);
    assert.ok(cuts > 5);
    store.onChange = undefined;
    assert.deepEqual(readDisk(open(base)), model.contents);
  }
});
