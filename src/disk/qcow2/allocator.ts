import type { ClusterSet } from './cluster-set.ts';
import type { ImageFile } from './image-file.ts';
import type { Refcounts } from './refcounts.ts';

/** Clusters of the file in a row. */
interface Run {
  readonly first: number;
  readonly count: number;
}

/** What the allocator needs of `WriteBack`. */
export interface TableWriter {
  writeTables(): void;
  barrier(): void;
}

/** So many runs may wait to be given back. */
const MAX_PENDING = 4096;

/**
 * Gives out clusters of the file and takes them back. What is taken back may still be referenced by tables on the
 * medium: its count goes down, and it is given out again, only when those references are known to be gone.
 */
export class Allocator {
  readonly #image: ImageFile;
  readonly #refcounts: Refcounts;
  readonly #metadata: ClusterSet;
  readonly #writer: () => TableWriter;
  /** No cluster below is free. */
  #cursor = 0;
  /** From here on the file was never written. */
  #end: number;
  /** What waits for tables to be written. */
  readonly #pending: Run[] = [];
  /** Behind the compressed data that was allocated last. */
  #packedEnd = 0;
  /** Where the grown refcount table will be. */
  #newTable: number | undefined = undefined;
  #moving = false;

  constructor(image: ImageFile, refcounts: Refcounts, metadata: ClusterSet, writer: () => TableWriter) {
    this.#image = image;
    this.#refcounts = refcounts;
    this.#metadata = metadata;
    this.#writer = writer;
    this.#end = image.clustersFor(image.store.size);
  }

  /** How many clusters the last `allocate` gave. */
  count = 0;
  /** Whether they read as zeroes, as nothing was ever written there. */
  fresh = false;

  /** So many are waiting that a flush is due. */
  get crowded(): boolean {
    return this.#pending.length >= MAX_PENDING;
  }

  /** Whether something waits to be given back. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Whether the cluster lies where the file has been written, or has a count. */
  exists(cluster: number): boolean {
    return cluster < this.#end || this.#refcounts.get(cluster) > 0;
  }

  /** Allocates between 1 and `max` clusters in a row: their offset. Sets `count` and `fresh`. */
  allocate(max: number): number {
    if (this.#refcounts.outgrown) this.#moveRefcountTable();
    const first = this.#nextFree(this.#cursor);
    let count = 1;
    while (count < max && this.#continues(first + count)) count++;
    this.#take(first, count);
    this.#cursor = first + count;
    return first * this.#image.clusterSize;
  }

  /** Allocates exactly `count` clusters in a row: their offset. */
  allocateRow(count: number): number {
    if (this.#refcounts.outgrown) this.#moveRefcountTable();
    let first = this.#nextFree(this.#cursor);
    for (let have = 1; have < count; ) {
      const next = this.#nextFree(first + have);
      if (next === first + have) have++;
      else {
        first = next;
        have = 1;
      }
    }
    this.#take(first, count);
    return first * this.#image.clusterSize;
  }

  /**
   * Allocates room for compressed data, behind the last such: its offset. The data counts for each cluster that it
   * touches; `length` is at most a cluster.
   */
  allocateBytes(length: number): number {
    const { clusterSize } = this.#image;
    const at = this.#packedEnd;
    const room = (clusterSize - (at % clusterSize)) % clusterSize;
    const current = Math.floor(at / clusterSize);
    const shares = room > 0 && this.#refcounts.get(current) < this.#refcounts.max;
    let offset = at;
    if (shares && room >= length) this.#refcounts.add(current, 1);
    else {
      const next = this.allocate(1);
      if (shares && next === (current + 1) * clusterSize) this.#refcounts.add(current, 1);
      else offset = next;
    }
    this.#packedEnd = offset + length;
    return offset;
  }

  /** Gives back at once what nothing on the medium has ever referenced. */
  release(offset: number, count: number): void {
    this.#giveBack({ first: offset / this.#image.clusterSize, count });
  }

  /** Gives back clusters (one reference to each) once the tables that referenced them are written. */
  free(offset: number, count = 1): void {
    const first = offset / this.#image.clusterSize;
    const last = this.#pending.at(-1);
    if (last !== undefined && last.first + last.count === first) {
      this.#pending[this.#pending.length - 1] = { first: last.first, count: last.count + count };
    } else this.#pending.push({ first, count });
  }

  /** Gives back compressed data, which counts for each cluster that it touches. */
  freeBytes(offset: number, length: number): void {
    const { clusterSize } = this.#image;
    const first = Math.floor(offset / clusterSize);
    const end = Math.ceil((offset + length) / clusterSize);
    this.free(first * clusterSize, end - first);
  }

  /** All changes of tables up to here are on the medium. */
  tablesAreWritten(): void {
    for (const run of this.#pending.splice(0)) this.#giveBack(run);
  }

  #giveBack({ first, count }: Run): void {
    const { clusterSize, store } = this.#image;
    let holeFrom = first;
    for (let c = first; c < first + count; c++) {
      const left = this.#refcounts.add(c, -1);
      if (left === 0) {
        this.#metadata.delete(c);
        if (c === Math.floor(this.#packedEnd / clusterSize)) this.#packedEnd = 0;
        this.#cursor = Math.min(this.#cursor, c);
        continue;
      }
      if (c > holeFrom) store.punchHole(holeFrom * clusterSize, (c - holeFrom) * clusterSize);
      holeFrom = c + 1;
    }
    const end = first + count;
    if (end > holeFrom) store.punchHole(holeFrom * clusterSize, (end - holeFrom) * clusterSize);
  }

  #take(first: number, count: number): void {
    for (let c = first; c < first + count; c++) {
      if (this.#metadata.has(c)) throw this.#image.corrupt(`cluster ${c} holds tables, but its reference count is 0`);
      this.#refcounts.add(c, 1);
    }
    this.fresh = first >= this.#end && this.#image.store.growsWithZeroes;
    this.#end = Math.max(this.#end, first + count);
    this.count = count;
  }

  /** Whether the cluster behind those that `allocate` found goes with them: all fresh or none. */
  #continues(cluster: number): boolean {
    return cluster !== this.#end && this.#refcounts.hasBlock(cluster) && this.#refcounts.get(cluster) === 0;
  }

  /** The first free cluster from `from` on. It has a refcount block: where there is none, one is made there. */
  #nextFree(from: number): number {
    for (let cluster = from; ; ) {
      cluster = this.#refcounts.nextFree(cluster);
      if (this.#refcounts.hasBlock(cluster)) return cluster;
      if (this.#metadata.has(cluster)) {
        throw this.#image.corrupt(`cluster ${cluster} holds tables, but has no reference count`);
      }
      if (!this.#refcounts.coversBlock(cluster)) this.#growRefcountTable(cluster);
      else {
        this.#refcounts.createBlock(cluster);
        this.#end = Math.max(this.#end, cluster + 1);
      }
    }
  }

  /** Tables that are not written yet may need the old table, so they are written first. */
  #growRefcountTable(cluster: number): void {
    this.#writer().writeTables();
    this.#refcounts.growTable(cluster);
    this.#moveRefcountTable();
  }

  /** Finds the grown table its place and leads the header there. If that fails, the next allocation tries again. */
  #moveRefcountTable(): void {
    if (this.#moving) return;
    this.#moving = true;
    try {
      const { header, clusterSize } = this.#image;
      const { refcountTableOffset: old, refcountTableClusters: oldClusters } = header;
      const clusters = this.#refcounts.tableBytes / clusterSize;
      this.#newTable ??= this.allocateRow(clusters);
      const offset = this.#newTable;
      this.#refcounts.writeBlocks();
      this.#writer().barrier();
      this.#refcounts.writeGrownTable(offset);
      this.#writer().barrier();
      header.refcountTableOffset = offset;
      header.refcountTableClusters = clusters;
      this.#image.writeRefcountTable();
      this.#writer().barrier();
      this.#refcounts.tableHasMoved();
      this.#metadata.add(offset / clusterSize, clusters);
      this.#newTable = undefined;
      this.free(old, oldClusters);
      this.#writer().writeTables(); // what was noted for the old table is of no use any more
    } finally {
      this.#moving = false;
    }
  }
}
