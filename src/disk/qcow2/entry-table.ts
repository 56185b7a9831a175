import type { ByteStore } from '../byte-store.ts';
import { HI_OFFSET, LO_OFFSET, TWO_32 } from './layout.ts';

const ENTRIES_PER_SECTOR = 64;

/**
 * A table of 64-bit entries that is held in memory as a whole: the L1 table, the refcount table. Changes are written
 * by sectors, which a power cut does not tear.
 */
export class EntryTable {
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
  readonly #dirtySectors = new Set<number>();

  constructor(length: number) {
    this.hi = new Uint32Array(length);
    this.lo = new Uint32Array(length);
  }

  /** From its bytes in an image. */
  static parse(bytes: Uint8Array): EntryTable {
    const table = new EntryTable(Math.floor(bytes.length / 8));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < table.length; i++) {
      table.hi[i] = view.getUint32(i * 8);
      table.lo[i] = view.getUint32(i * 8 + 4);
    }
    return table;
  }

  get length(): number {
    return this.hi.length;
  }

  get dirty(): boolean {
    return this.#dirtySectors.size > 0;
  }

  /** The offset in an entry: bits 9 to 55. */
  offset(index: number): number {
    return (this.hi[index]! & HI_OFFSET) * TWO_32 + ((this.lo[index]! & LO_OFFSET) >>> 0);
  }

  /** Sets an entry; `hiFlags` are bits of its upper half. */
  set(index: number, offset: number, hiFlags = 0): void {
    this.hi[index] = (Math.floor(offset / TWO_32) | hiFlags) >>> 0;
    this.lo[index] = offset % TWO_32;
    this.#dirtySectors.add(Math.floor(index / ENTRIES_PER_SECTOR));
  }

  /** A larger or smaller table with the same entries; nothing of it has to be written yet. */
  resized(length: number): EntryTable {
    const table = new EntryTable(length);
    const kept = Math.min(length, this.length);
    table.hi.set(this.hi.subarray(0, kept));
    table.lo.set(this.lo.subarray(0, kept));
    return table;
  }

  /** All entries as they stand in an image. */
  encode(from = 0, to = this.length): Uint8Array {
    const view = new DataView(new ArrayBuffer((to - from) * 8));
    for (let i = from; i < to; i++) {
      view.setUint32((i - from) * 8, this.hi[i]!);
      view.setUint32((i - from) * 8 + 4, this.lo[i]!);
    }
    return new Uint8Array(view.buffer);
  }

  /** Writes what has changed to the table at `offset`. */
  writeDirty(store: ByteStore, offset: number): void {
    for (const sector of this.#dirtySectors) {
      const from = sector * ENTRIES_PER_SECTOR;
      store.write(offset + from * 8, this.encode(from, Math.min(from + ENTRIES_PER_SECTOR, this.length)));
    }
    this.#dirtySectors.clear();
  }

  /** Writes all of it. */
  writeAll(store: ByteStore, offset: number): void {
    store.write(offset, this.encode());
    this.#dirtySectors.clear();
  }
}
