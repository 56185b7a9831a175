import { CrosvmError } from '../../errors.ts';
import { bitmapRanges, hasBitmaps } from './bitmaps.ts';
import type { CheckReport } from './check-report.ts';
import { ClusterCounts } from './cluster-counts.ts';
import { ClusterSet } from './cluster-set.ts';
import { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { L2Entry } from './l2-entry.ts';
import { readSnapshots, type Snapshot } from './snapshot-table.ts';

/** All L1 tables of snapshots together may have so many bytes. */
const MAX_SNAPSHOT_L1_BYTES = 1 << 30;

/** What the tables of an image refer to, counted anew. */
export interface References {
  /** How often each cluster of the file is referred to, but for the refcount table and its blocks. */
  readonly counts: ClusterCounts;
  readonly snapshots: readonly Snapshot[];
  readonly l1: EntryTable;
  /** From how many entries of L1 tables each L2 table is reached. */
  readonly l2Tables: ClusterCounts;
}

/** Walks through all tables but the refcounts. What is wrong on the way is told to `report`. */
export function countReferences(image: ImageFile, report: CheckReport): References {
  return new Walk(image, report).run();
}

class Walk {
  readonly #image: ImageFile;
  readonly #report: CheckReport;
  readonly #counts = new ClusterCounts();
  readonly #l2Tables = new ClusterCounts();
  /** Those that are reached from the active L1 table. */
  readonly #activeL2 = new ClusterSet();

  constructor(image: ImageFile, report: CheckReport) {
    this.#image = image;
    this.#report = report;
  }

  run(): References {
    const { header, clusterSize } = this.#image;
    this.#count('the header', 0, clusterSize);
    const l1 = this.#l1('the L1 table', header.l1Offset, header.l1Size, true);
    const snapshots = this.#trying(() => this.#snapshots()) ?? [];
    if (hasBitmaps(this.#image)) {
      this.#trying(() => {
        for (const { what, offset, bytes } of bitmapRanges(this.#image)) this.#count(what, offset, bytes);
      });
    }
    for (const [cluster, times] of this.#l2Tables.entries()) this.#l2(cluster * clusterSize, times);
    return { counts: this.#counts, snapshots, l1, l2Tables: this.#l2Tables };
  }

  #snapshots(): Snapshot[] {
    const { header } = this.#image;
    if (header.snapshotCount === 0) return [];
    const { snapshots, bytes } = readSnapshots(this.#image);
    this.#count('the snapshot table', header.snapshotsOffset, bytes);
    let l1Bytes = 0;
    for (const { name, l1Offset, l1Size } of snapshots) {
      l1Bytes += l1Size * 8;
      if (l1Bytes > MAX_SNAPSHOT_L1_BYTES) {
        this.#report.error('the snapshots have more tables than can be checked');
        break;
      }
      this.#l1(`the L1 table of snapshot ${JSON.stringify(name)}`, l1Offset, l1Size, false);
    }
    return snapshots;
  }

  #l1(what: string, offset: number, entries: number, active: boolean): EntryTable {
    if (entries === 0 || !this.#count(what, offset, entries * 8)) return new EntryTable(0);
    const bytes = new Uint8Array(entries * 8);
    this.#image.store.read(offset, bytes);
    const table = EntryTable.parse(bytes);
    for (let i = 0; i < table.length; i++) {
      const l2 = table.offset(i);
      if (l2 === 0 || !this.#count('an L2 table', l2, this.#image.clusterSize)) continue;
      const cluster = l2 / this.#image.clusterSize;
      this.#l2Tables.add(cluster, 1);
      if (active && !this.#activeL2.add(cluster)) this.#report.error(`${what} leads to the L2 table at ${l2} twice`);
    }
    return table;
  }

  /** An L2 table that `times` L1 entries lead to. */
  #l2(offset: number, times: number): void {
    const { clusterSize, l2EntrySize, store } = this.#image;
    // A table in a hole of the file is empty.
    if (store.nextData(offset) >= offset + clusterSize) return;
    const bytes = new Uint8Array(clusterSize);
    store.read(offset, bytes);
    const view = new DataView(bytes.buffer);
    const entry = new L2Entry(this.#image);
    const active = this.#activeL2.has(offset / clusterSize);
    let expected = 0;
    for (let at = 0; at < clusterSize; at += l2EntrySize) {
      entry.load(view, at);
      if ((entry.hi | entry.lo | entry.allocated | entry.zeroes) === 0) continue;
      const host = this.#data(entry, times);
      if (!active || host === undefined) continue;
      this.#report.allocatedClusters++;
      if (expected !== 0 && host !== expected) this.#report.fragmentedClusters++;
      expected = host + clusterSize;
      if (entry.compressed) this.#report.compressedClusters++;
    }
  }

  /** Counts what an L2 entry refers to: where that is. */
  #data(entry: L2Entry, times: number): number | undefined {
    const { clusterSize, hasDataFile } = this.#image;
    const problem = entry.problem() ?? entry.misplacement();
    if (problem !== undefined) {
      this.#report.error(problem);
      return undefined;
    }
    if (entry.compressed) {
      const { offset, length } = entry.compressedRange();
      this.#add(offset, length, times);
      return offset;
    }
    if (!entry.hasCluster) return undefined;
    if (!hasDataFile) this.#add(entry.host, clusterSize, times);
    return entry.host;
  }

  /** Counts the clusters of a range; false if it is not where it could be. The last cluster may be incomplete. */
  #count(what: string, offset: number, bytes: number): boolean {
    const { clusterSize, store } = this.#image;
    if (offset % clusterSize !== 0) {
      this.#report.error(`${what} at offset ${offset} is not aligned to a cluster`);
      return false;
    }
    if (Math.ceil((offset + bytes) / clusterSize) > Math.ceil(store.size / clusterSize)) {
      this.#report.error(`${what} at offset ${offset} lies beyond the end of the file`);
      return false;
    }
    this.#add(offset, bytes, 1);
    return true;
  }

  /** Counts all clusters that a range touches. */
  #add(offset: number, bytes: number, times: number): void {
    const { clusterSize } = this.#image;
    const end = Math.ceil((offset + bytes) / clusterSize);
    for (let cluster = Math.floor(offset / clusterSize); cluster < end; cluster++) this.#counts.add(cluster, times);
  }

  /** A table that cannot be read is one error. */
  #trying<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof CrosvmError) || error.code === 'E_SYSTEM') throw error;
      this.#report.error(error.message);
      return undefined;
    }
  }
}
