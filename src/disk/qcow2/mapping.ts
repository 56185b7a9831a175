import type { Allocator } from './allocator.ts';
import type { ClusterSet } from './cluster-set.ts';
import type { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { type ClusterKind, COMPRESSED, DATA, L2Entry, subclusterBits, UNALLOCATED } from './l2-entry.ts';
import { HI_COPIED, LO_ZERO, TWO_32 } from './layout.ts';
import type { Slice, TableCache } from './table-cache.ts';
import { L1_TABLE, L2_TABLE, type TableLog } from './table-log.ts';

/** From guest offsets to places in the file: the L1 table and the L2 tables behind it. */
export class Mapping {
  readonly #image: ImageFile;
  readonly #cache: TableCache;
  readonly #allocator: Allocator;
  readonly #metadata: ClusterSet;
  readonly #log: TableLog | undefined;
  /** The active L1 table. */
  l1: EntryTable;
  /** The entry that `at` loaded. */
  readonly entry: L2Entry;

  /**
   * What `find` found: so many bytes of this kind, and for DATA where they begin in the data's store, and whether they
   * may be written there.
   */
  kind: ClusterKind = UNALLOCATED;
  length = 0;
  host = 0;
  copied = false;

  constructor(
    image: ImageFile,
    cache: TableCache,
    allocator: Allocator,
    metadata: ClusterSet,
    l1: EntryTable,
    log?: TableLog,
  ) {
    this.#image = image;
    this.#cache = cache;
    this.#allocator = allocator;
    this.#metadata = metadata;
    this.l1 = l1;
    this.#log = log;
    this.entry = new L2Entry(image);
  }

  /** What the bytes from guest offset `at` on are, for at most `max` of them. Sets the fields above. */
  find(at: number, max: number): void {
    const { clusterSize, bytesPerL2, l2EntrySize, subclusterSize } = this.#image;
    const inTable = at % bytesPerL2;
    const limit = Math.min(max, bytesPerL2 - inTable);
    const table = this.#tableOffset((at - inTable) / bytesPerL2);
    if (table === 0) {
      this.kind = UNALLOCATED;
      this.length = limit;
      return;
    }
    let inCluster = inTable % clusterSize;
    const inTableAt = ((inTable - inCluster) / clusterSize) * l2EntrySize;
    let e = inTableAt % this.#cache.sliceSize;
    const { view } = this.#cache.get(table + inTableAt - e);
    this.entry.load(view, e);
    const { copied } = this.entry;
    this.copied = copied && this.#tableIsOwn(at);
    const kind = this.#kindAt(inCluster);
    this.kind = kind;
    this.host = kind === DATA ? this.entry.host + inCluster : 0;
    let length = kind === COMPRESSED ? clusterSize - inCluster : subclusterSize - (inCluster % subclusterSize);
    // Goes on while it is the same and lies behind in the file; compressed clusters stand alone.
    while (length < limit && kind !== COMPRESSED) {
      inCluster = (inTable + length) % clusterSize;
      if (inCluster === 0) {
        e += l2EntrySize;
        if (e === this.#cache.sliceSize) break;
        this.entry.load(view, e);
      }
      if (this.#kindAt(inCluster) !== kind) break;
      if (kind === DATA && (this.entry.host + inCluster !== this.host + length || this.entry.copied !== copied)) break;
      length += subclusterSize;
    }
    this.length = Math.min(length, limit);
  }

  /** Loads `entry` of the cluster at guest offset `at`; all zeroes if there is no table for it. */
  at(at: number): L2Entry {
    const { entry } = this;
    const found = this.#locate(at);
    if (found === undefined) entry.hi = entry.lo = entry.allocated = entry.zeroes = 0;
    else entry.load(found.view, this.#entryAt(at));
    return entry;
  }

  /** Whether there is an L2 table for guest offset `at`. */
  hasTable(at: number): boolean {
    return this.#tableOffset(Math.floor(at / this.#image.bytesPerL2)) !== 0;
  }

  /** Makes the L2 table for guest offset `at` exist, and belong to the active L1 table alone. */
  makeWritable(at: number): void {
    const index = Math.floor(at / this.#image.bytesPerL2);
    const old = this.#tableOffset(index);
    if (old !== 0 && this.#tableIsOwn(at)) return;
    const { clusterSize, store } = this.#image;
    const offset = this.#allocator.allocate(1);
    const { fresh } = this.#allocator;
    try {
      if (old !== 0) {
        const bytes = this.#image.readTable('an L2 table', old, clusterSize);
        this.#copyCached(bytes, old);
        store.write(offset, bytes);
      } else if (!fresh) store.zeroRange(offset, clusterSize);
      else store.write(offset + clusterSize - 512, new Uint8Array(512)); // a table lies within the file
    } catch (error) {
      this.#allocator.release(offset, 1);
      throw error;
    }
    this.#cache.forget(offset, clusterSize);
    this.#metadata.add(offset / clusterSize);
    this.l1.set(index, offset, HI_COPIED);
    this.#log?.note(L1_TABLE, this.#image.header.l1Offset + index * 8, this.l1.hi[index]!, this.l1.lo[index]!);
    if (old !== 0) this.#allocator.free(old);
  }

  /** The cluster at `at` has data in the cluster at `host`: subclusters `from` to `to` - 1 of it from now on. */
  setData(at: number, host: number, from: number, to: number): void {
    const entry = this.at(at);
    const bits = subclusterBits(from, to);
    const keeps = entry.hasCluster && entry.host === host;
    const allocated = (keeps ? entry.allocated : 0) | bits;
    this.#store(at, host, HI_COPIED, 0, allocated, entry.compressed ? 0 : entry.zeroes & ~bits);
  }

  /** The cluster at `at` reads as zeroes; its cluster of the file, if it has one, stays its own with `keep`. */
  setZero(at: number, keep: boolean): void {
    const entry = this.at(at);
    const [host, flags] = keep && entry.hasCluster ? [entry.host, HI_COPIED] : [0, 0];
    if (this.#image.extended) this.#store(at, host, flags, 0, 0, 0xffff_ffff);
    else this.#store(at, host, flags, LO_ZERO, 0, 0);
  }

  /** Subclusters `from` to `to` - 1 of the cluster at `at`, which is not compressed, read as zeroes. */
  setZeroSubclusters(at: number, from: number, to: number): void {
    const { host, copied, allocated, zeroes } = this.at(at);
    const bits = subclusterBits(from, to);
    this.#store(at, host, copied ? HI_COPIED : 0, 0, allocated & ~bits, (zeroes | bits) >>> 0);
  }

  /** The cluster at `at` loses its cluster of the file, in which no subcluster has data. */
  dropCluster(at: number): void {
    this.#store(at, 0, 0, 0, 0, this.at(at).zeroes);
  }

  /** The cluster at `at` is not in this image. */
  setUnallocated(at: number): void {
    this.#store(at, 0, 0, 0, 0, 0);
  }

  /** The cluster at `at` is compressed, with an entry of these halves. */
  setCompressed(at: number, hi: number, lo: number): void {
    this.#storeHalves(at, hi, lo, 0, 0);
  }

  /** Whether only the active L1 table leads to the L2 table for `at`. */
  #tableIsOwn(at: number): boolean {
    return (this.l1.hi[Math.floor(at / this.#image.bytesPerL2)]! & HI_COPIED) !== 0;
  }

  #kindAt(inCluster: number): ClusterKind {
    return this.entry.kind(this.#image.extended ? Math.floor(inCluster / this.#image.subclusterSize) : 0);
  }

  #store(at: number, host: number, flags: number, lo: number, allocated: number, zeroes: number): void {
    this.#storeHalves(at, Math.floor(host / TWO_32) | flags, (host % TWO_32) | lo, allocated, zeroes);
  }

  /** Writes the entry to its table, which is writable. */
  #storeHalves(at: number, hi: number, lo: number, allocated: number, zeroes: number): void {
    const slice = this.#locate(at)!;
    const e = this.#entryAt(at);
    slice.view.setUint32(e, hi);
    slice.view.setUint32(e + 4, lo);
    if (this.#image.extended) {
      slice.view.setUint32(e + 8, zeroes);
      slice.view.setUint32(e + 12, allocated);
    }
    this.#cache.markDirty(slice);
    this.#log?.note(L2_TABLE, slice.offset + e, hi, lo);
    if (this.#image.extended) this.#log?.note(L2_TABLE, slice.offset + e + 8, zeroes, allocated);
    this.#log?.relieve();
  }

  /** The piece of the L2 table with the entry for `at`. */
  #locate(at: number): Slice | undefined {
    const { bytesPerL2, clusterSize, l2EntrySize } = this.#image;
    const table = this.#tableOffset(Math.floor(at / bytesPerL2));
    if (table === 0) return undefined;
    const inTable = Math.floor((at % bytesPerL2) / clusterSize) * l2EntrySize;
    return this.#cache.get(table + inTable - (inTable % this.#cache.sliceSize));
  }

  /** Where in that piece. */
  #entryAt(at: number): number {
    const { bytesPerL2, clusterSize, l2EntrySize } = this.#image;
    return (Math.floor((at % bytesPerL2) / clusterSize) * l2EntrySize) % this.#cache.sliceSize;
  }

  #tableOffset(index: number): number {
    const { clusterSize, store } = this.#image;
    const offset = this.l1.offset(index);
    if (offset === 0) return 0;
    if (offset % clusterSize !== 0 || offset + clusterSize > store.size) {
      throw this.#image.corrupt(`the L2 table at offset ${offset} is not aligned, or not within the file`);
    }
    return offset;
  }

  /** Changes of the table at `old` that are not written yet belong to its copy as well. */
  #copyCached(bytes: Uint8Array, old: number): void {
    const { sliceSize } = this.#cache;
    for (let at = 0; at < bytes.length; at += sliceSize) bytes.set(this.#cache.get(old + at).bytes, at);
  }
}
