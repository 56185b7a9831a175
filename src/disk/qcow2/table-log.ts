import { CrosvmError } from '../../errors.ts';
import type { ByteStore } from '../byte-store.ts';
import { WordPatcher } from './word-patcher.ts';

/** Which table a word is of; in the order in which words may become visible on the medium (see `WriteBack`). */
export const REFCOUNT_BLOCK = 0;
export const REFCOUNT_TABLE = 1;
export const L2_TABLE = 2;
export const L1_TABLE = 3;
export type TableKind = 0 | 1 | 2 | 3;
const KINDS = 4;

/** Bytes of memory for a log: room for what 2 GiB of new clusters of the usual size change. */
export const TABLE_LOG_SIZE = 1 << 20;
/** Images of one disk that are written and can have a log, and the bytes for these. Pages that are not used cost nothing. */
export const MAX_TABLE_LOGS = 8;
export const TABLE_LOGS_SIZE = MAX_TABLE_LOGS * TABLE_LOG_SIZE;

/** u32 number of words, u32 sum of the file's identity; then for each word u64 place in the file (+ kind) and u32 hi, lo. */
const HEADER_SIZE = 16;
const WORD_SIZE = 16;
const AT = { count: 0, identity: 4 };
const WORD = { place: 0, hi: 8, lo: 12 };
/** Room for what is noted between two calls of `relieve`. */
const RESERVE = 16;

/**
 * What changed in an image's tables since they were written to the file, in memory that outlives the process: a successor
 * writes it there, and nothing is lost that the guest was told is done. (The medium is another matter: that takes a flush.)
 * The process may end at any moment, so words count only when they are committed, all of a change of the disk together.
 */
export class TableLog {
  readonly #view: DataView;
  readonly #identity: number;
  /** The most words. */
  readonly #capacity: number;
  #count: number;

  /** `memory` has usually TABLE_LOG_SIZE bytes, zeroes when it is new; `identity` tells the image's file from others. */
  constructor(memory: Uint8Array, identity: string) {
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.length);
    this.#capacity = Math.floor((memory.length - HEADER_SIZE) / WORD_SIZE);
    this.#identity = sumOf(identity);
    this.#count = this.#view.getUint32(AT.count, true);
  }

  /** Writes all tables to the file and clears the log. */
  onCrowded: () => void = () => {};

  /**
   * Notes the new value of the 64-bit word at `offset` of the file, a multiple of 8. Throws `E_DISK_TABLE_LOG` when it is
   * full, as tables could not be written again and again.
   */
  note(kind: TableKind, offset: number, hi: number, lo: number): void {
    if (this.#count === this.#capacity) {
      throw new CrosvmError('E_DISK_TABLE_LOG', 'the tables of an image cannot be written');
    }
    const view = this.#view;
    const at = HEADER_SIZE + WORD_SIZE * this.#count++;
    view.setUint32(at + WORD.place, offset + kind, true);
    view.setUint32(at + WORD.place + 4, offset / 2 ** 32, true);
    view.setUint32(at + WORD.hi, hi, true);
    view.setUint32(at + WORD.lo, lo, true);
  }

  /** To be called when all words of an entry are noted, and its table in memory is changed. */
  relieve(): void {
    if (this.#count >= this.#capacity - RESERVE) this.onCrowded();
  }

  /** What was noted counts from now on. */
  commit(): void {
    this.#view.setUint32(AT.count, this.#count, true);
  }

  /** All of it is in the file. */
  clear(): void {
    this.#count = 0;
    this.commit();
  }

  /**
   * Brings what a predecessor has noted into the file, in an order that a power cut may interrupt. Throws
   * `E_DISK_TABLE_LOG` where that is impossible.
   */
  replay(store: ByteStore): void {
    const view = this.#view;
    const isHis = view.getUint32(AT.identity, true) === this.#identity;
    if (this.#count > 0) {
      if (!isHis) throw damaged(store, 'another file has taken the place of the image while it was in use');
      if (this.#count > this.#capacity) throw damaged(store, 'what was to be written to its tables is damaged');
      for (let kind = 0; kind < KINDS; kind++) this.#replay(store, kind);
      this.clear();
    }
    view.setUint32(AT.identity, this.#identity, true);
  }

  #replay(store: ByteStore, kind: number): void {
    const view = this.#view;
    const patcher = new WordPatcher(store);
    let words = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = HEADER_SIZE + WORD_SIZE * i;
      const place = view.getUint32(at + WORD.place, true);
      if ((place & 7) !== kind) continue;
      const offset = place - kind + view.getUint32(at + WORD.place + 4, true) * 2 ** 32;
      if (offset > store.size - 8) throw damaged(store, 'what was to be written to its tables lies beyond its end');
      patcher.set(offset, view.getUint32(at + WORD.hi, true));
      patcher.set(offset + 4, view.getUint32(at + WORD.lo, true));
      words++;
    }
    patcher.write();
    if (words > 0) store.flush();
  }
}

function damaged({ name }: ByteStore, why: string): CrosvmError {
  return new CrosvmError('E_DISK_TABLE_LOG', `${name}: ${why}`);
}

/** FNV-1a. */
function sumOf(text: string): number {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return sum >>> 0;
}
