/**
 * The code map: for each page of guest memory, which of its 64-byte pieces some vCPU has decoded code from. All vCPUs
 * and all that writes guest memory share it. While any bit of a page is set no TLB has it for writing, so the stores of
 * every vCPU look here.
 */
import { Lock } from '../../memory/lock.ts';
import { CODE_MAP_LOCK, REGION, REGION_SIZE, REGIONS, regionEntry, VCPU_COUNT } from './layout.ts';
import { protectPage } from './mmu/translation-cache.ts';

export const PAGE_SIZE = 4096;

/** Bits for pieces 0-31 and 32-63 of a page. */
export type Pieces = readonly [low: number, high: number];

export class CodeMap {
  /** How many vCPUs there are. */
  readonly vcpus: number;
  readonly #words: Int32Array;
  readonly #lock: Lock;

  /** `words`: the whole WebAssembly memory, with the region table in it. */
  constructor(words: Int32Array) {
    this.#words = words;
    this.vcpus = Math.max(1, words[VCPU_COUNT >> 2]!);
    this.#lock = new Lock(words.subarray(CODE_MAP_LOCK >> 2, (CODE_MAP_LOCK >> 2) + 1));
  }

  /** The place of a page's bits, for the other methods; -1: there is no memory at guest physical page `page`. */
  entryOf(page: number): number {
    const words = this.#words;
    for (let i = 0, at = regionEntry(0) >> 2; i < words[REGIONS >> 2]!; i++, at += REGION_SIZE >> 2) {
      const offset = page - this.#u64(at + (REGION.start >> 2)) / PAGE_SIZE;
      const pages = this.#u64(at + (REGION.size >> 2)) / PAGE_SIZE;
      if (offset >= 0 && offset < pages) return ((words[at + (REGION.codeMap >> 2)]! >>> 0) + offset * 8) >> 2;
    }
    return -1;
  }

  isMarked(entry: number): boolean {
    return (Atomics.load(this.#words, entry) | Atomics.load(this.#words, entry + 1)) !== 0;
  }

  /**
   * Sets bits of page `page`. Whatever a vCPU stores to them after this call it announces. Gives whether all of the
   * bits were set already.
   */
  mark(page: number, entry: number, [low, high]: Pieces): boolean {
    const words = this.#words;
    this.#lock.acquire();
    const wasLow = Atomics.or(words, entry, low);
    const wasHigh = Atomics.or(words, entry + 1, high);
    // Under the lock: who finds bits set must be able to rely on it that the TLBs have been seen to.
    if ((wasLow | wasHigh) === 0) this.#protect(page);
    this.#lock.release();
    return (low & ~wasLow) === 0 && (high & ~wasHigh) === 0;
  }

  /** Makes these the bits of a page: for a lone vCPU, which knows what it has decoded. */
  replace(entry: number, [low, high]: Pieces): void {
    this.#lock.acquire();
    this.#store(entry, low, high);
    this.#lock.release();
  }

  /**
   * Clears a page's bits. `tell` tells all vCPUs to drop their code of it: before the bits go, for whoever finds them
   * clear says nothing to anybody; and under the lock, so that no code is added in between.
   */
  retire(entry: number, tell: () => void): void {
    this.#lock.acquire();
    tell();
    this.#store(entry, 0, 0);
    this.#lock.release();
  }

  #store(entry: number, low: number, high: number): void {
    Atomics.store(this.#words, entry, low);
    Atomics.store(this.#words, entry + 1, high);
  }

  #protect(page: number): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++) protectPage(this.#words, vcpu, page);
  }

  #u64(index: number): number {
    return (this.#words[index]! >>> 0) + (this.#words[index + 1]! >>> 0) * 0x1_0000_0000;
  }
}
