/**
 * News for vCPUs: bytes that they may have decoded code from were written by somebody else. Each vCPU has a list in its
 * area of the shared memory, which it looks at before it executes anything after it was asked for attention.
 *
 * That is soon enough for cross-modifying code (Intel SDM vol. 3, 9.1.3): the writer has posted its news before its next
 * instruction, which tells the other side; and who has heard of it has to execute a serializing instruction, all of
 * which end a block here when attention is asked for.
 */
import { Lock } from '../../memory/lock.ts';
import { type CodeMap, PAGE_SIZE } from './code-map.ts';
import { AREA, areaOf } from './layout.ts';
import { lookUp } from './vcpu-signals.ts';

/** Entries of a list; when there are more, its vCPU drops all code that it has. */
const MAX_ENTRIES = 256;
/** Words of a list: a lock, the number of entries (one beyond the most: too many), then for each a page and a range. */
const COUNT = 1;
const ENTRIES = 2;

/** Bytes [from, to) of guest physical page `page` were written. */
export type CodeWritten = (page: number, from: number, to: number) => void;

export class CodeWrites {
  readonly #words: Int32Array;
  readonly #map: CodeMap;
  readonly #locks: readonly Lock[];

  constructor(words: Int32Array, map: CodeMap) {
    this.#words = words;
    this.#map = map;
    this.#locks = Array.from({ length: map.vcpus }, (_, id) => new Lock(words.subarray(listOf(id), listOf(id) + 1)));
  }

  /** Tells all vCPUs but `writer`. */
  post(writer: number, page: number, from: number, to: number): void {
    for (let id = 0; id < this.#locks.length; id++) {
      if (id !== writer) this.#append(id, page, from, to);
    }
  }

  /** Somebody who is no vCPU has written [gpa, gpa + length). */
  hostWrote(gpa: number, length: number): void {
    const end = Math.ceil((gpa + length) / PAGE_SIZE);
    for (let page = Math.floor(gpa / PAGE_SIZE); page < end; page++) {
      const entry = this.#map.entryOf(page);
      if (entry < 0 || !this.#map.isMarked(entry)) continue;
      this.#map.retire(entry, () => this.post(-1, page, 0, PAGE_SIZE));
    }
  }

  /** Tells all vCPUs to drop all code. */
  postAll(): void {
    for (let id = 0; id < this.#locks.length; id++) {
      this.#locks[id]!.acquire();
      this.#words[listOf(id) + COUNT] = MAX_ENTRIES + 1;
      this.#locks[id]!.release();
      lookUp(this.#words, id);
    }
  }

  /** Hands vCPU `id` its news. False: there were too many, it has to drop all code. */
  take(id: number, each: CodeWritten): boolean {
    const list = listOf(id);
    if (Atomics.load(this.#words, list + COUNT) === 0) return true;
    this.#locks[id]!.acquire();
    const count = this.#words[list + COUNT]!;
    const entries = this.#words.slice(list + ENTRIES, list + ENTRIES + 2 * Math.min(count, MAX_ENTRIES));
    this.#words[list + COUNT] = 0;
    this.#locks[id]!.release();
    if (count > MAX_ENTRIES) return false;
    for (let i = 0; i < entries.length; i += 2) {
      const range = entries[i + 1]!;
      each(entries[i]! >>> 0, range & 0xffff, range >>> 16);
    }
    return true;
  }

  #append(id: number, page: number, from: number, to: number): void {
    const words = this.#words;
    const list = listOf(id);
    this.#locks[id]!.acquire();
    const count = words[list + COUNT]!;
    if (count < MAX_ENTRIES) {
      const entry = list + ENTRIES + 2 * count;
      words[entry] = page;
      words[entry + 1] = from | (to << 16);
    }
    words[list + COUNT] = Math.min(count + 1, MAX_ENTRIES + 1);
    this.#locks[id]!.release();
    lookUp(words, id);
  }
}

/** Index of the first word of a vCPU's list. */
function listOf(id: number): number {
  return (areaOf(id) + AREA.codeWrites) >> 2;
}
