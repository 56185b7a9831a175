import type { CheckReport } from './check-report.ts';
import { ClusterCounts } from './cluster-counts.ts';
import { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { readRefcount } from './refcount-block.ts';

/** The reference counts as an image has them, read block by block for a check. */
export class StoredRefcounts {
  /** Counts in a block. */
  readonly perBlock: number;
  /** The clusters of the table and of its blocks. */
  readonly own = new ClusterCounts();
  readonly #image: ImageFile;
  readonly #table: EntryTable;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** The same bytes. */
  readonly #words: Uint32Array;
  #loaded = -1;
  #empty = true;

  /** What is wrong with the table is told to `report`; blocks that cannot be are as if they were not there. */
  constructor(image: ImageFile, report: CheckReport) {
    const { header, clusterSize, store } = image;
    this.#image = image;
    this.perBlock = (clusterSize * 8) / 2 ** header.refcountOrder;
    this.#bytes = new Uint8Array(clusterSize);
    this.#view = new DataView(this.#bytes.buffer);
    this.#words = new Uint32Array(this.#bytes.buffer);
    const length = header.refcountTableClusters * clusterSize;
    if (header.refcountTableOffset + length > store.size) {
      report.error('the refcount table lies beyond the end of the file');
      this.#table = new EntryTable(0);
      return;
    }
    const bytes = new Uint8Array(length);
    store.read(header.refcountTableOffset, bytes);
    this.#table = EntryTable.parse(bytes);
    for (let i = 0; i < length / clusterSize; i++) this.own.add(header.refcountTableOffset / clusterSize + i, 1);
    for (let i = 0; i < this.#table.length; i++) this.#checkBlock(i, report);
  }

  /** Blocks that the table has room for. */
  get blocks(): number {
    return this.#table.length;
  }

  /** The count of a cluster; 0 if there is no block for it. */
  get(cluster: number): number {
    const index = cluster % this.perBlock;
    this.#load((cluster - index) / this.perBlock);
    return this.#empty ? 0 : readRefcount(this.#view, this.#image.header.refcountOrder, index);
  }

  /** How many counts a block has up to the last that is not 0. */
  usedIn(block: number): number {
    this.#load(block);
    if (this.#empty) return 0;
    let end = this.#words.length;
    while (end > 0 && this.#words[end - 1] === 0) end--;
    return Math.ceil((end * 32) / 2 ** this.#image.header.refcountOrder);
  }

  /** Whether all counts of a block are 0, as far as that shows without reading them. */
  isEmpty(block: number): boolean {
    const { clusterSize, store } = this.#image;
    const offset = block < this.#table.length ? this.#table.offset(block) : 0;
    return offset === 0 || store.nextData(offset) >= offset + clusterSize;
  }

  #checkBlock(i: number, report: CheckReport): void {
    const { clusterSize, store } = this.#image;
    const offset = this.#table.offset(i);
    const reserved = this.#table.lo[i]! % 512 !== 0;
    if (offset === 0 && !reserved) return;
    if (
      reserved ||
      offset % clusterSize !== 0 ||
      offset + clusterSize > Math.ceil(store.size / clusterSize) * clusterSize
    ) {
      report.error(`refcount block ${i} at offset ${offset} is not aligned, or beyond the end of the file`);
    } else if (this.own.get(offset / clusterSize) > 0) {
      report.error(`refcount block ${i} at offset ${offset} is a table of the refcounts already`);
    } else {
      this.own.add(offset / clusterSize, 1);
      return;
    }
    this.#table.set(i, 0);
  }

  #load(block: number): void {
    if (block === this.#loaded) return;
    this.#loaded = block;
    this.#empty = this.isEmpty(block);
    if (!this.#empty) this.#image.store.read(this.#table.offset(block), this.#bytes);
  }
}
