/** Images of any shape, and anything that can be done to one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { imageCodec } from '../../base/image-codec.ts';
import { MemoryStore } from '../memory-store.ts';
import { RawDisk } from '../raw.ts';
import { arbitraryChange, runs } from '../testing/arbitrary.ts';
import { DiskModel, readDisk } from '../testing/disk-model.ts';
import { applyChange, type Change } from '../testing/operations.ts';
import { checkImage } from './check.ts';
import { type CreateOptions, createQcow2 } from './create.ts';
import { prepareForWriting, readHeader } from './open.ts';
import { preallocate } from './preallocate.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from './snapshots.ts';

const MAX_SECTORS = 512;

type Step =
  | Change
  | { readonly kind: 'flush' | 'reopen' }
  /** Of the snapshots that there are, one counted round and round; without any, one is made. */
  | { readonly kind: 'createSnapshot' | 'applySnapshot' | 'deleteSnapshot'; readonly which: number }
  | { readonly kind: 'resize'; readonly sectors: number };

const which = fc.nat(3);
const arbitrarySteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
    { weight: 12, arbitrary: arbitraryChange },
    { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'flush' }, { kind: 'reopen' }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constantFrom('createSnapshot' as const, 'applySnapshot' as const, 'deleteSnapshot' as const),
        which,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('resize' as const), sectors: fc.integer({ min: 1, max: MAX_SECTORS }) }),
    },
  ),
  { maxLength: 60, size: 'max' },
);

interface Shape {
  readonly options: CreateOptions;
  /** Sectors of a backing file of 7s. */
  readonly backing: number | undefined;
  /** Every cluster has its place from the start, where that is possible. */
  readonly preallocated: boolean;
}

const arbitraryShape: fc.Arbitrary<Shape> = fc.oneof(
  shape({ version: fc.constant(2 as const), clusterSize: fc.constantFrom(512, 1024, 65536) }),
  shape({
    version: fc.constant(3 as const),
    clusterSize: fc.constantFrom(512, 2048, 65536),
    refcountBits: fc.constantFrom(1, 2, 4, 8, 16, 32, 64),
    lazyRefcounts: fc.boolean(),
  }),
  shape({
    version: fc.constant(3 as const),
    clusterSize: fc.constantFrom(16384, 65536),
    extendedL2: fc.constant(true),
  }),
);

function shape(options: { [K in keyof CreateOptions]?: fc.Arbitrary<CreateOptions[K]> }): fc.Arbitrary<Shape> {
  const size = fc.integer({ min: 1, max: MAX_SECTORS }).map((sectors) => sectors * 512);
  const backing = fc.option(fc.integer({ min: 1, max: MAX_SECTORS }), { nil: undefined });
  return fc.record({
    options: fc.record({ ...options, size }) as fc.Arbitrary<CreateOptions>,
    backing,
    preallocated: fc.boolean(),
  });
}

/** An image, what it should hold, and its snapshots. */
class Subject {
  readonly #store = new MemoryStore('image');
  readonly #backing: RawDisk | undefined;
  readonly #version: number;
  readonly #snapshots = new Map<string, Uint8Array>();
  #names = 0;
  #disk: Qcow2Disk;
  #model: DiskModel;

  constructor({ options, backing, preallocated }: Shape) {
    this.#version = options.version ?? 3;
    const below = backing === undefined ? undefined : new Uint8Array(backing * 512).fill(7);
    this.#backing = below && new RawDisk(new MemoryStore('backing', below, false));
    createQcow2(this.#store, { ...options, ...(below && { backingFile: 'backing', backingFormat: 'raw' }) });
    this.#disk = this.#open();
    if (preallocated && (below === undefined || options.extendedL2 === true)) preallocate(this.#disk, () => {});
    this.#model = new DiskModel(options.size);
    if (below !== undefined) this.#model.contents.set(below.subarray(0, options.size));
  }

  take(step: Step): void {
    switch (step.kind) {
      case 'flush':
        this.#disk.flush();
        return;
      case 'reopen':
        this.#disk.finish();
        this.#disk = this.#open();
        return;
      case 'createSnapshot':
        if (this.#room > this.#snapshots.size) this.#createSnapshot();
        return;
      case 'applySnapshot':
      case 'deleteSnapshot':
        if (this.#snapshots.size > 0)
          this.#useSnapshot(step.kind, [...this.#snapshots.keys()][step.which % this.#snapshots.size]!);
        return;
      case 'resize':
        this.#resize(step.sectors * 512);
        return;
      default:
        applyChange(this.#disk, this.#model, step, this.#discardUnit);
    }
  }

  /** Here and in the file, everything is as it should be. */
  verify(): void {
    assert.deepEqual(readDisk(this.#disk), this.#model.contents);
    this.#disk.finish();
    assert.deepEqual(readDisk(this.#open()), this.#model.contents);
    const { errors, leaks, messages } = checkImage(this.#store, readHeader(this.#store)).found;
    assert.deepEqual({ errors, leaks }, { errors: 0, leaks: 0 }, messages.join('; '));
  }

  #open(): Qcow2Disk {
    const header = readHeader(this.#store);
    prepareForWriting(this.#store, header);
    const backing = this.#backing && { backing: this.#backing };
    return new Qcow2Disk(this.#store, header, { codec: imageCodec, l2CacheBytes: 4096, ...backing });
  }

  /** Version 2 has no zeroes over a backing file, so there a discard leaves what it likes: none is made. */
  get #discardUnit(): number {
    const { subclusterSize } = this.#disk.parts.image;
    return this.#version === 2 && this.#backing !== undefined ? 2 ** 40 : subclusterSize;
  }

  /** How many snapshots the counts can count, with one that is applied. */
  get #room(): number {
    return Math.min(3, 2 ** (2 ** this.#disk.parts.image.header.refcountOrder) - 3);
  }

  #createSnapshot(): void {
    const name = `snapshot ${this.#names++}`;
    createSnapshot(this.#disk.parts, name, 0);
    this.#snapshots.set(name, this.#model.contents.slice());
  }

  #useSnapshot(kind: 'applySnapshot' | 'deleteSnapshot', name: string): void {
    if (kind === 'deleteSnapshot') {
      deleteSnapshot(this.#disk.parts, name);
      this.#snapshots.delete(name);
      return;
    }
    applySnapshot(this.#disk.parts, name);
    this.#setContents(this.#snapshots.get(name)!);
  }

  #resize(size: number): void {
    if (this.#version === 2 && this.#snapshots.size > 0) return; // their sizes are not noted
    this.#disk.resize(size);
    const contents = new Uint8Array(size);
    contents.set(this.#model.contents.subarray(0, size));
    this.#setContents(contents);
  }

  #setContents(contents: Uint8Array): void {
    this.#model = new DiskModel(contents.length);
    this.#model.contents.set(contents);
  }
}

test('an image of any shape holds what was written to it, and is sound', () => {
  const property = fc.property(arbitraryShape, arbitrarySteps, (given, steps) => {
    const subject = new Subject(given);
    for (const step of steps) subject.take(step);
    subject.verify();
  });
  fc.assert(property, runs(60));
});
