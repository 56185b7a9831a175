import type { ByteStore } from '../byte-store.ts';

/** Tables are kept in pieces of this many bytes (or of a cluster, if that is less). */
const SLICE_SIZE = 4096;

/** A piece of a table in memory. Only valid until the next call of the cache's `get`. */
export interface Slice {
  offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  dirty: boolean;
  /** Used since the clock's hand came by last. */
  used: boolean;
}

/**
 * A bounded cache of pieces of tables. Changed pieces stay until they are written on request, as the order between
 * tables matters: when no piece can be given up, `makeRoom` is called and must have all of them written.
 */
export class TableCache {
  readonly sliceSize: number;
  readonly #store: ByteStore;
  readonly #capacity: number;
  readonly #makeRoom: () => void;
  readonly #slices: Slice[] = [];
  readonly #byOffset = new Map<number, Slice>();
  readonly #dirty = new Set<Slice>();
  #hand = 0;

  /** `bytes`: how much memory it may use. */
  constructor(store: ByteStore, clusterSize: number, bytes: number, makeRoom: () => void) {
    this.sliceSize = Math.min(SLICE_SIZE, clusterSize);
    this.#store = store;
    this.#capacity = Math.max(4, Math.floor(bytes / this.sliceSize));
    this.#makeRoom = makeRoom;
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** The piece at `offset`, which is a multiple of the size of a piece and lies within the file. */
  get(offset: number): Slice {
    const found = this.#byOffset.get(offset);
    if (found !== undefined) {
      found.used = true;
      return found;
    }
    const slice = this.#freeSlice();
    this.#store.read(offset, slice.bytes);
    return this.#enter(slice, offset);
  }

  /** A piece of a table that begins empty: zeroes, not read but to be written. */
  create(offset: number): Slice {
    const slice = this.#byOffset.get(offset) ?? this.#enter(this.#freeSlice(), offset);
    slice.bytes.fill(0);
    this.markDirty(slice);
    return slice;
  }

  markDirty(slice: Slice): void {
    if (slice.dirty) return;
    slice.dirty = true;
    this.#dirty.add(slice);
  }

  /** Writes all changed pieces, in the order of their offsets. */
  writeDirty(): void {
    if (this.#dirty.size === 0) return;
    for (const slice of [...this.#dirty].sort((a, b) => a.offset - b.offset)) {
      this.#store.write(slice.offset, slice.bytes);
      slice.dirty = false;
      this.#dirty.delete(slice);
    }
  }

  /** Drops what is known of a range, changes too: somebody else has written it, or nobody needs it any more. */
  forget(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += this.sliceSize) {
      const slice = this.#byOffset.get(at);
      if (slice === undefined) continue;
      this.#byOffset.delete(at);
      this.#dirty.delete(slice);
      slice.dirty = false;
      slice.used = false;
      slice.offset = -1;
    }
  }

  /** Forgets everything: the file was written otherwise. There may be no changes. */
  clear(): void {
    for (const offset of [...this.#byOffset.keys()]) this.forget(offset, this.sliceSize);
  }

  #enter(slice: Slice, offset: number): Slice {
    slice.offset = offset;
    slice.used = true;
    this.#byOffset.set(offset, slice);
    return slice;
  }

  #freeSlice(): Slice {
    if (this.#slices.length < this.#capacity) {
      const bytes = new Uint8Array(this.sliceSize);
      const slice = { offset: -1, bytes, view: new DataView(bytes.buffer), dirty: false, used: false };
      this.#slices.push(slice);
      return slice;
    }
    let slice = this.#giveUp();
    if (slice === undefined) {
      this.#makeRoom();
      slice = this.#giveUp()!;
    }
    this.#byOffset.delete(slice.offset);
    slice.offset = -1;
    return slice;
  }

  /** A piece that was not used for a round of the clock's hand and has no changes. */
  #giveUp(): Slice | undefined {
    for (let i = 0; i < this.#slices.length * 2; i++) {
      const slice = this.#slices[this.#hand]!;
      this.#hand = (this.#hand + 1) % this.#slices.length;
      if (slice.dirty) continue;
      if (!slice.used) return slice;
      slice.used = false;
    }
    return undefined;
  }
}
