import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { imageCodec } from '../base/image-codec.ts';
import { bytesList } from '../memory/bytes-list.ts';
import type { Disk } from './disk.ts';
import { DiskQueue, DONE } from './disk-queue.ts';
import { MemoryStore } from './memory-store.ts';
import { checkImage } from './qcow2/check.ts';
import { createQcow2 } from './qcow2/create.ts';
import { readHeader } from './qcow2/open.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import { RawDisk } from './raw.ts';
import { arbitraryChange, runs } from './testing/arbitrary.ts';
import { DiskModel, readDisk, SECTOR } from './testing/disk-model.ts';
import { HeldEngine, type Outcome } from './testing/held-engine.ts';
import type { Change } from './testing/operations.ts';

const SIZE = 64 << 10;
const CLUSTER = 512;

type Step =
  | Change
  | { readonly kind: 'read'; readonly sector: number; readonly sectors: number }
  | { readonly kind: 'flush' }
  /** One of those under way ends, or cannot be carried out by the engine. */
  | { readonly kind: 'end'; readonly which: number; readonly outcome: Outcome };

const arbitrarySteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
    { weight: 5, arbitrary: arbitraryChange },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('read' as const),
        sector: fc.nat(SIZE / SECTOR),
        sectors: fc.integer({ min: 1, max: 12 }),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        which: fc.nat(7),
        outcome: fc.constantFrom<Outcome>('done', 'failed', 'refused'),
      }),
    },
  ),
  { maxLength: 80, size: 'max' },
);

/** What is under way, and what a read has to find. */
interface UnderWay {
  readonly offset: number;
  readonly length: number;
  readonly found: { readonly bytes: Uint8Array; readonly expected: Uint8Array } | undefined;
}

/** A disk behind a queue, and what it should hold. */
class Subject {
  readonly engine = new HeldEngine(8);
  readonly #queue: DiskQueue;
  readonly #model = new DiskModel(SIZE);
  readonly #underWay = new Map<number, UnderWay>();
  /** How many requests the engine had. */
  handedOver = 0;

  constructor(disk: Disk) {
    this.#queue = new DiskQueue(disk, this.engine, (slot, error) => {
      const { found, length } = this.#underWay.get(slot)!;
      assert.ok(error === undefined || length === 0, 'only flushes may fail here');
      if (found !== undefined) assert.deepEqual(found.bytes, found.expected);
      this.#underWay.delete(slot);
    });
  }

  take(step: Step): void {
    if (step.kind === 'end') {
      if (this.engine.held.length > 0) this.engine.end(step.which % this.engine.held.length, step.outcome);
      this.#queue.collect();
    } else if (step.kind === 'flush') this.#flush();
    else {
      const offset = (step.sector * SECTOR) % SIZE;
      const length = Math.min(step.sectors * SECTOR, SIZE - offset);
      // Of requests that are under way at the same time and touch the same bytes, nobody knows which one is first.
      for (const other of this.#underWay.values()) {
        if (offset < other.offset + other.length && other.offset < offset + length) return;
      }
      this.#carryOut(step, offset, length);
    }
  }

  finish(): Uint8Array {
    this.#flush();
    this.#queue.drain();
    assert.equal(this.#underWay.size, 0);
    return this.#model.contents;
  }

  #flush(): void {
    const slot = this.#queue.flush();
    if (slot !== DONE) this.#note(slot, { offset: 0, length: 0, found: undefined });
  }

  #carryOut(step: Exclude<Step, { kind: 'end' | 'flush' }>, offset: number, length: number): void {
    if (step.kind === 'read') {
      const bytes = new Uint8Array(length);
      const expected = this.#model.contents.slice(offset, offset + length);
      const slot = this.#queue.read(offset, bytesList(bytes));
      if (slot === DONE) assert.deepEqual(bytes, expected);
      else this.#note(slot, { offset, length, found: { bytes, expected } });
    } else if (step.kind === 'write') {
      const bytes = new Uint8Array(length).fill(step.value);
      this.#model.write(offset, bytes, length);
      const slot = this.#queue.write(offset, bytesList(bytes));
      if (slot !== DONE) this.#note(slot, { offset, length, found: undefined });
    } else {
      this.#model.write(offset, undefined, length);
      if (step.kind === 'discard') this.#queue.discard(offset, length);
      else this.#queue.writeZeroes(offset, length, step.mayUnmap);
    }
  }

  #note(slot: number, request: UnderWay): void {
    this.handedOver++;
    this.#underWay.set(slot, request);
  }
}

test('whatever order requests end in, and whichever fail, a raw disk holds what it should', () => {
  let handedOver = 0;
  const property = fc.property(arbitrarySteps, (steps) => {
    const store = new MemoryStore('disk', new Uint8Array(SIZE));
    const subject = new Subject(new RawDisk(store));
    for (const step of steps) subject.take(step);
    assert.deepEqual(subject.finish(), store.contents());
    handedOver += subject.handedOver;
  });
  fc.assert(property, runs(60));
  assert.ok(handedOver > 500, `${handedOver} requests`);
});

test('the same of a qcow2 image, which is sound afterwards', () => {
  let handedOver = 0;
  const property = fc.property(arbitrarySteps, (steps) => {
    const store = new MemoryStore('image');
    createQcow2(store, { size: SIZE, clusterSize: CLUSTER });
    const disk = new Qcow2Disk(store, readHeader(store), { codec: imageCodec });
    const subject = new Subject(disk);
    for (const step of steps) subject.take(step);
    assert.deepEqual(subject.finish(), readDisk(disk));
    disk.finish();
    const { errors, leaks } = checkImage(store, readHeader(store)).found;
    assert.deepEqual({ errors, leaks }, { errors: 0, leaks: 0 });
    handedOver += subject.handedOver;
  });
  fc.assert(property, runs(60));
  assert.ok(handedOver > 50, `${handedOver} requests`);
});
