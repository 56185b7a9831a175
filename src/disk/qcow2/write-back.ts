import type { ByteStore } from '../byte-store.ts';
import type { Allocator } from './allocator.ts';
import type { ImageFile } from './image-file.ts';
import type { Mapping } from './mapping.ts';
import type { Refcounts } from './refcounts.ts';
import type { TableCache } from './table-cache.ts';
import type { TableLog } from './table-log.ts';

/**
 * Writes changed tables in an order that leaves a sound image after a power cut at any moment: what refers to something
 * is written when that is on the medium. Counts come before references, tables before what leads to them; counts go
 * down after references are gone (`Allocator.tablesAreWritten`). At worst clusters are lost, until the next check.
 */
export class WriteBack {
  readonly #image: ImageFile;
  readonly #data: ByteStore;
  readonly #refcounts: Refcounts;
  readonly #allocator: Allocator;
  readonly #l2Cache: TableCache;
  readonly #mapping: Mapping;
  readonly #log: TableLog | undefined;

  constructor(
    image: ImageFile,
    data: ByteStore,
    parts: {
      refcounts: Refcounts;
      allocator: Allocator;
      l2Cache: TableCache;
      mapping: Mapping;
      log: TableLog | undefined;
    },
  ) {
    this.#image = image;
    this.#data = data;
    this.#refcounts = parts.refcounts;
    this.#allocator = parts.allocator;
    this.#l2Cache = parts.l2Cache;
    this.#mapping = parts.mapping;
    this.#log = parts.log;
  }

  /** Brings all changed tables into the file. They are on the medium after the next `barrier`. */
  writeTables(): void {
    if (!this.#image.writable) return;
    // The file is not to be ahead of the log, which would set it back.
    this.#log?.commit();
    if (this.#refcounts.dirty) this.#writeRefcounts();
    if (this.#l2Cache.dirty) {
      this.barrier();
      this.#l2Cache.writeDirty();
    }
    if (this.#mapping.l1.dirty) {
      this.barrier();
      this.#mapping.l1.writeDirty(this.#image.store, this.#image.header.l1Offset);
    }
    this.#log?.clear();
  }

  /** A change of the disk is complete. */
  commit(): void {
    this.#log?.commit();
  }

  /** Whether a flush has more to do than what `barrier` does. */
  get isNeeded(): boolean {
    const tables = this.#refcounts.dirty || this.#l2Cache.dirty || this.#mapping.l1.dirty;
    return tables || this.#allocator.hasPending;
  }

  /** Everything that was written is on the medium, and so are the tables for it. */
  flush(): void {
    this.writeTables();
    this.barrier();
    if (this.#image.writable) this.#allocator.tablesAreWritten();
  }

  /** What was written to the files until now is on the medium when this returns. */
  barrier(): void {
    if (this.#data !== this.#image.store && this.#data.writable) this.#data.flush();
    if (this.#image.store.writable) this.#image.store.flush();
  }

  /** Blocks first: neither is the table of use without them, nor do they matter without it. */
  #writeRefcounts(): void {
    this.#refcounts.writeBlocks();
    if (!this.#refcounts.table.dirty) return;
    this.barrier();
    this.#refcounts.writeTable();
  }
}
