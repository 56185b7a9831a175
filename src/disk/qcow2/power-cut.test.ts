import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import { MemoryStore } from '../memory-store.ts';
import { arbitraryChange, runs } from '../testing/arbitrary.ts';
import { DiskModel, readDisk } from '../testing/disk-model.ts';
import { PowerCutStore } from '../testing/failing-stores.ts';
import { applyChange, type Change } from '../testing/operations.ts';
import { Random } from '../testing/random.ts';
import { checkImage } from './check.ts';
import { type CreateOptions, createQcow2 } from './create.ts';
import { INCOMPATIBLE_DIRTY } from './layout.ts';
import { readHeader } from './open.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from './snapshots.ts';
import { TableLog } from './table-log.ts';

const SIZE = 192 << 10;

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

type Step = Change | { readonly kind: 'flush' } | { readonly kind: 'snapshot'; readonly apply: boolean };

/** A power cut before the flush of this number has ended; the seed says what it leaves of the writes since the one before. */
interface Cut {
  readonly flush: number;
  readonly seed: number;
}

const arbitraryCuts: fc.Arbitrary<Cut[]> = fc.array(fc.record({ flush: fc.nat(80), seed: fc.nat() }), {
  ...{ minLength: 20, maxLength: 60, size: 'max' },
});

function arbitrarySteps(other: fc.Arbitrary<Step>, changesForEach: number): fc.Arbitrary<Step[]> {
  const step = fc.oneof({ weight: changesForEach, arbitrary: arbitraryChange }, { weight: 1, arbitrary: other });
  return fc.array(step, { maxLength: 150, size: 'max' });
}

/** Takes the steps on a new image, with all cuts on the way; how many there were. */
function run(shape: Omit<CreateOptions, 'size'>, steps: readonly Step[], cuts: readonly Cut[]): number {
  const base = new MemoryStore('image');
  createQcow2(base, { ...shape, size: SIZE });
  const store = new PowerCutStore(base);
  const disk = open(store);
  const model = new DiskModel(SIZE);
  const unit = disk.parts.image.subclusterSize;
  const waiting = cuts.toSorted((a, b) => a.flush - b.flush);
  let flushes = 0;
  let done = 0;
  store.onFlush = () => {
    for (; waiting[done]?.flush === flushes; done++) {
      verify(store.cut(new Random(waiting[done]!.seed)), model, `flush ${flushes}`);
    }
    flushes++;
  };
  let saved: Uint8Array | undefined;
  for (const step of steps) {
    if (step.kind !== 'flush' && step.kind !== 'snapshot') {
      applyChange(disk, model, step, unit);
      continue;
    }
    disk.flush();
    model.flushed();
    if (step.kind === 'flush') continue;
    if (saved === undefined) {
      createSnapshot(disk.parts, 'one', 0);
      saved = model.contents.slice();
    } else if (step.apply) {
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
  model.flushed();
  store.onFlush = undefined;
  assert.deepEqual(readDisk(open(base)), model.contents);
  const { errors, leaks } = checkImage(base, readHeader(base)).found;
  assert.deepEqual({ errors, leaks }, { errors: 0, leaks: 0 });
  return done;
}

for (const shape of SHAPES) {
  test(`a power cut at any write leaves a sound image with all that was flushed: ${JSON.stringify(shape)}`, () => {
    const steps = arbitrarySteps(fc.constant({ kind: 'flush' }), 8);
    let cuts = 0;
    const property = fc.property(steps, arbitraryCuts, (taken, where) => {
      cuts += run(shape, taken, where);
    });
    fc.assert(property, runs(5));
    assert.ok(cuts > 30, `${cuts} cuts`);
  });
}

test('a power cut while snapshots are made, applied and deleted', () => {
  const steps = arbitrarySteps(fc.record({ kind: fc.constant('snapshot'), apply: fc.boolean() }), 3);
  let cuts = 0;
  const property = fc.property(steps, arbitraryCuts, (taken, where) => {
    cuts += run({ clusterSize: 512 }, taken, where);
  });
  fc.assert(property, runs(5));
  assert.ok(cuts > 30, `${cuts} cuts`);
});

test('a power cut while the refcount table moves, and the L1 table', () => {
  for (let seed = 1; seed <= runs(3).numRuns; seed++) {
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
    store.onFlush = () => {
      const times = store.isPendingBelow(512) ? 4 : random.chance(6) ? 1 : 0;
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
    store.onFlush = undefined;
    assert.deepEqual(readDisk(open(base)), model.contents);
  }
});
