import { CrosvmError } from '../../errors.ts';
import type { ClusterSet } from './cluster-set.ts';
import type { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { MAX_REFCOUNT_TABLE_BYTES } from './layout.ts';
import { maxRefcount, readRefcount, writeRefcount } from './refcount-block.ts';
import type { Slice, TableCache } from './table-cache.ts';
import { REFCOUNT_BLOCK, REFCOUNT_TABLE, type TableLog } from './table-log.ts';

/** How often each cluster of the file is referenced: the refcount table and the blocks that it leads to. */
export class Refcounts {
  readonly #image: ImageFile;
  readonly #cache: TableCache;
  readonly #metadata: ClusterSet;
  readonly #order: number;
  /** The largest count. */
  readonly max: number;
  /** Counts in a block. */
  readonly perBlock: number;
  readonly #perSlice: number;
  readonly #log: TableLog | undefined;
  #table: EntryTable;
  /** The table got longer and needs another place in the file. */
  #outgrown = false;
  /** Index of the count in the piece that `#slice` returned. */
  #index = 0;

  constructor(image: ImageFile, cache: TableCache, metadata: ClusterSet, table: EntryTable, log?: TableLog) {
    this.#image = image;
    this.#cache = cache;
    this.#metadata = metadata;
    this.#table = table;
    this.#log = log;
    this.#order = image.header.refcountOrder;
    this.max = maxRefcount(this.#order);
    this.perBlock = (image.clusterSize * 8) / 2 ** this.#order;
    this.#perSlice = (cache.sliceSize * 8) / 2 ** this.#order;
  }

  /** Whether blocks or the table have to be written. */
  get dirty(): boolean {
    return this.#cache.dirty || this.#table.dirty || this.#outgrown;
  }

  get outgrown(): boolean {
    return this.#outgrown;
  }

  get table(): EntryTable {
    return this.#table;
  }

  get(cluster: number): number {
    const slice = this.#slice(cluster);
    return slice === undefined ? 0 : readRefcount(slice.view, this.#order, this.#index);
  }

  /** Adds `change` to the count; the result. Its block must exist. */
  add(cluster: number, change: number): number {
    const slice = this.#slice(cluster);
    const before = slice === undefined ? 0 : readRefcount(slice.view, this.#order, this.#index);
    const after = before + change;
    if (after < 0) throw this.#image.corrupt(`cluster ${cluster} is used, but its reference count is ${before}`);
    if (after > this.max) {
      throw new CrosvmError('E_DISK_REFCOUNT', `${this.#image.name}: a reference count would be more than ${this.max}`);
    }
    if (slice === undefined) throw this.#image.corrupt(`cluster ${cluster} is used, but has no reference count`);
    writeRefcount(slice.view, this.#order, this.#index, after);
    this.#cache.markDirty(slice);
    this.#noteCount(slice, this.#index);
    return after;
  }

  /** The first cluster from `from` on whose count is 0, or that no block is about. */
  nextFree(from: number): number {
    for (let cluster = from; ; ) {
      const slice = this.#slice(cluster);
      if (slice === undefined) return cluster;
      for (let i = this.#index; i < this.#perSlice; i++, cluster++) {
        if (readRefcount(slice.view, this.#order, i) === 0) return cluster;
      }
    }
  }

  hasBlock(cluster: number): boolean {
    const block = Math.floor(cluster / this.perBlock);
    return block < this.#table.length && this.#table.offset(block) !== 0;
  }

  /** Whether the table has an entry for the block about a cluster. */
  coversBlock(cluster: number): boolean {
    return cluster < this.#table.length * this.perBlock;
  }

  /** Makes the free cluster `cluster`, which no block is about yet, the block that is about it. */
  createBlock(cluster: number): void {
    const block = Math.floor(cluster / this.perBlock);
    const { clusterSize, store, header } = this.#image;
    const offset = cluster * clusterSize;
    if (this.#log !== undefined) store.zeroRange(offset, clusterSize); // the log has only what is not 0
    for (let at = 0; at < clusterSize; at += this.#cache.sliceSize) this.#cache.create(offset + at);
    this.#metadata.add(cluster);
    this.#table.set(block, offset);
    // One that has outgrown its place is written as a whole.
    if (!this.#outgrown) {
      const { hi, lo } = this.#table;
      this.#log?.note(REFCOUNT_TABLE, header.refcountTableOffset + block * 8, hi[block]!, lo[block]!);
    }
    this.add(cluster, 1);
  }

  /** Writes blocks, which the table leads to or will. */
  writeBlocks(): void {
    this.#cache.writeDirty();
  }

  writeTable(): void {
    if (!this.#outgrown) this.#table.writeDirty(this.#image.store, this.#image.header.refcountTableOffset);
  }

  /** Writes the grown table at a new place. */
  writeGrownTable(offset: number): void {
    this.#table.writeAll(this.#image.store, offset);
  }

  /** The header leads to the grown table. */
  tableHasMoved(): void {
    this.#outgrown = false;
  }

  /** Bytes of the table. */
  get tableBytes(): number {
    return this.#table.length * 8;
  }

  /** Lengthens the table in memory so that it covers the block about a cluster; it has to find a new place then. */
  growTable(cluster: number): void {
    const atLeast = Math.floor(cluster / this.perBlock) + 1;
    const perCluster = this.#image.clusterSize / 8;
    // Half as much again, and room for the clusters of the table itself.
    const clusters = Math.ceil((atLeast * 1.5 + 2) / perCluster);
    const limit = Math.floor(MAX_REFCOUNT_TABLE_BYTES / this.#image.clusterSize);
    if (clusters > limit && atLeast > limit * perCluster) {
      throw new CrosvmError('E_DISK_FULL', `${this.#image.name}: the image cannot grow further with this cluster size`);
    }
    this.#table = this.#table.resized(Math.min(clusters, limit) * perCluster);
    this.#outgrown = true;
  }

  /** Notes the 64 bits that hold a count. */
  #noteCount({ offset, view }: Slice, index: number): void {
    const at = ((index * 2 ** this.#order) >>> 6) * 8;
    this.#log?.note(REFCOUNT_BLOCK, offset + at, view.getUint32(at), view.getUint32(at + 4));
    this.#log?.relieve();
  }

  /** The piece of the block with the count of a cluster, or undefined if there is no block; sets `#index`. */
  #slice(cluster: number): Slice | undefined {
    const inBlock = cluster % this.perBlock;
    const block = (cluster - inBlock) / this.perBlock;
    this.#index = inBlock % this.#perSlice;
    if (block >= this.#table.length) return undefined;
    const offset = this.#table.offset(block);
    if (offset === 0) return undefined;
    return this.#cache.get(offset + ((inBlock - this.#index) / this.#perSlice) * this.#cache.sliceSize);
  }
}
