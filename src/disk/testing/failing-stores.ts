/** Stores that fail as real ones do. */
import { CrosvmError } from '../../errors.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';
import type { ByteStore } from '../byte-store.ts';
import { MemoryStore } from '../memory-store.ts';
import { SECTOR } from './disk-model.ts';
import type { Random } from './random.ts';

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
  /** Called before each flush. Whatever a power cut could leave since the one before, `cut` can make then. */
  onFlush: (() => void) | undefined = undefined;
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
    this.onFlush?.();
    for (const { offset, bytes } of this.#pending) this.#durable.write(offset, bytes);
    this.#pending = [];
  }

  protected override change(offset: number, bytes: Uint8Array | undefined, length: number): void {
    if (length > 0) this.#pending.push({ offset, bytes: bytes?.slice() ?? new Uint8Array(length) });
  }
}
