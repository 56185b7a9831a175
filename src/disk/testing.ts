/** Stores that fail as real ones do, and what else tests of disks share. */
import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';
import { bytesList } from './bytes-list.ts';
import type { Disk } from './disk.ts';
import type { DiskFiles, OpenedFile } from './disk-files.ts';
import { MemoryStore } from './memory-store.ts';

const SECTOR = 512;

/** Numbers that follow from a seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to `n` - 1. Mulberry32 by T. Ettinger. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return Math.floor((((z ^ (z >>> 14)) >>> 0) / 0x1_0000_0000) * n);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

export function readDisk(disk: Disk, offset = 0, length = disk.size): Uint8Array {
  const bytes = new Uint8Array(length);
  disk.read(offset, bytesList(bytes));
  return bytes;
}

/** A store whose every change may be refused. */
export abstract class WatchedStore implements ByteStore {
  readonly growsWithZeroes = true;
  readonly writable = true;
  protected readonly inner: MemoryStore;

  constructor(inner: MemoryStore) {
    this.inner = inner;
  }

  /** Called before each change. */
  protected abstract change(offset: number, bytes: Uint8Array | undefined, length: number): void;

  get name(): string {
    return this.inner.name;
  }

  get size(): number {
    return this.inner.size;
  }

  read(offset: number, target: Uint8Array): void {
    this.inner.read(offset, target);
  }

  readList(offset: number, list: ScatterList): void {
    this.inner.readList(offset, list);
  }

  write(offset: number, source: Uint8Array): void {
    this.change(offset, source, source.length);
    this.inner.write(offset, source);
  }

  writeList(offset: number, list: ScatterList): void {
    const bytes = new Uint8Array(list.length);
    list.copyTo(bytes);
    this.write(offset, bytes);
  }

  flush(): void {}

  punchHole(offset: number, length: number): void {
    this.change(offset, undefined, Math.min(length, this.size - offset));
    this.inner.punchHole(offset, length);
  }

  zeroRange(offset: number, length: number): void {
    this.change(offset, undefined, length);
    this.inner.zeroRange(offset, length);
  }

  resize(size: number): void {
    this.inner.resize(size);
  }

  nextData(offset: number): number {
    return this.inner.nextData(offset);
  }

  nextHole(offset: number): number {
    return this.inner.nextHole(offset);
  }

  close(): void {}
}

/** Fails at a chosen change or flush, as a full or broken disk does. */
export class FailingStore extends WatchedStore {
  /** So many changes and flushes work before one fails; counts down. */
  remaining = Number.POSITIVE_INFINITY;
  /** How many were asked for. */
  calls = 0;

  protected override change(): void {
    this.calls++;
    if (this.remaining-- > 0) return;
    this.remaining = Number.POSITIVE_INFINITY;
    throw new CrosvmError('E_SYSTEM', 'no space left on device (ENOSPC)');
  }

  override flush(): void {
    this.change();
  }
}

interface PendingWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Remembers what was not flushed yet, and makes files that a power cut could leave behind. */
export class PowerCutStore extends WatchedStore {
  /** Called before each change: power may fail here. */
  onChange: (() => void) | undefined = undefined;
  #durable: MemoryStore;
  #pending: PendingWrite[] = [];

  constructor(inner: MemoryStore) {
    super(inner);
    this.#durable = new MemoryStore(inner.name, inner.contents());
  }

  /**
   * A file after a power cut now: with a prefix of the writes since the last flush, with some of them, or with any
   * version of each sector.
   */
  cut(random: Random): MemoryStore {
    const store = new MemoryStore(this.name, this.#durable.contents());
    const prefix = random.chance(30) ? random.below(this.#pending.length + 1) : this.#pending.length;
    const torn = random.chance(50);
    const kept = random.pick([20, 50, 80, 100]);
    for (const { offset, bytes } of this.#pending.slice(0, prefix)) {
      if (!torn) {
        if (random.chance(kept)) store.write(offset, bytes);
        continue;
      }
      for (let at = 0; at < bytes.length; ) {
        const part = Math.min(SECTOR - ((offset + at) % SECTOR), bytes.length - at);
        if (random.chance(kept)) store.write(offset + at, bytes.subarray(at, at + part));
        at += part;
      }
    }
    return store;
  }

  /** Whether bytes below `end` were written since the last flush. */
  isPendingBelow(end: number): boolean {
    return this.#pending.some(({ offset }) => offset < end);
  }

  override flush(): void {
    this.onChange?.();
    for (const { offset, bytes } of this.#pending) this.#durable.write(offset, bytes);
    this.#pending = [];
  }

  protected override change(offset: number, bytes: Uint8Array | undefined, length: number): void {
    this.onChange?.();
    if (length > 0) this.#pending.push({ offset, bytes: bytes?.slice() ?? new Uint8Array(length) });
  }
}

/** What a disk should hold, and what each sector may hold after a power cut. */
export class DiskModel {
  readonly contents: Uint8Array;
  /** For each sector changed since the last flush: what it was since then. */
  readonly #versions = new Map<number, Uint8Array[]>();

  constructor(size: number) {
    this.contents = new Uint8Array(size);
  }

  /** The guest is about to write; `bytes` undefined means zeroes. */
  write(offset: number, bytes: Uint8Array | undefined, length: number): void {
    const first = Math.floor(offset / SECTOR);
    const end = Math.ceil((offset + length) / SECTOR);
    for (let sector = first; sector < end; sector++) {
      let versions = this.#versions.get(sector);
      if (versions === undefined) this.#versions.set(sector, (versions = [this.#sector(sector)]));
    }
    if (bytes === undefined) this.contents.fill(0, offset, offset + length);
    else this.contents.set(bytes, offset);
    for (let sector = first; sector < end; sector++) this.#versions.get(sector)!.push(this.#sector(sector));
  }

  /** A flush has returned. */
  flushed(): void {
    this.#versions.clear();
  }

  /** The first sector that a disk may not hold after a power cut, or undefined. */
  wrongSector(found: Uint8Array): number | undefined {
    for (let sector = 0; sector * SECTOR < this.contents.length; sector++) {
      const now = found.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      const versions = this.#versions.get(sector) ?? [this.#sector(sector)];
      if (!versions.some((version) => Buffer.compare(version, now) === 0)) return sector;
    }
    return undefined;
  }

  #sector(sector: number): Uint8Array {
    return this.contents.slice(sector * SECTOR, (sector + 1) * SECTOR);
  }
}

/** A random change to a disk and to what it should hold. */
export function randomChange(disk: Disk, model: DiskModel, random: Random, discardUnit: number): void {
  const offset = random.below(disk.size / SECTOR) * SECTOR;
  const sectors = 1 + random.below(random.chance(20) ? 200 : 12);
  const length = Math.min(disk.size - offset, sectors * SECTOR);
  if (random.chance(70)) {
    const bytes = new Uint8Array(length).fill(1 + random.below(255));
    model.write(offset, bytes, length);
    disk.write(offset, bytesList(bytes));
  } else if (random.chance(60)) {
    model.write(offset, undefined, length);
    disk.writeZeroes(offset, length, random.chance(50));
  } else {
    const from = Math.ceil(offset / discardUnit) * discardUnit;
    const whole = Math.floor((offset + length - from) / discardUnit) * discardUnit;
    if (whole <= 0) return;
    model.write(from, undefined, whole);
    disk.discard(from, whole);
  }
}

/** Files in memory. A path is what a store is called. */
export class MemoryFiles implements DiskFiles {
  readonly stores = new Map<string, ByteStore>();

  add(store: ByteStore): this {
    this.stores.set(store.name, store);
    return this;
  }

  open(path: string): OpenedFile {
    const store = this.stores.get(path);
    if (store === undefined) throw new CrosvmError('E_FILE_OPEN', `${path}: cannot be opened: there is no such file`);
    return { store, path, identity: path };
  }

  resolve(image: string, name: string): string {
    return new URL(name, `file://${image}`).pathname;
  }

  isBeside(image: string, path: string): boolean {
    return path.startsWith(image.slice(0, image.lastIndexOf('/') + 1));
  }
}
