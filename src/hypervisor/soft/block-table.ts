/** The decoded blocks of a vCPU by the guest physical address of their code, where generated code finds them (lookup.ts). */
import { AREA, areaOf, BLOCK_ENTRIES, BLOCK_ENTRY, BLOCK_ENTRY_SIZE, BLOCK_HASH, BLOCK_HASH_SHIFT } from './layout.ts';
import { MODE_BITS } from './modes.ts';

/**
 * A cache: an entry makes place for the next one with the same hash. Blocks whose code goes on in a second page are not
 * here, as where that is has to be looked at each time.
 */
export class BlockTable {
  readonly #words: Int32Array;
  readonly #first: number;

  /** `words`: the whole WebAssembly memory. */
  constructor(words: Int32Array, vcpu: number) {
    this.#words = words;
    this.#first = (areaOf(vcpu) + AREA.blocks) >> 2;
  }

  /** `page`: guest physical page number; `key`: Block.key. */
  set(page: number, key: number, record: number): void {
    const at = this.#entry(page, key);
    this.#words[at + (BLOCK_ENTRY.page >> 2)] = page;
    this.#words[at + (BLOCK_ENTRY.key >> 2)] = key;
    this.#words[at + (BLOCK_ENTRY.record >> 2)] = record;
  }

  delete(page: number, key: number): void {
    const at = this.#entry(page, key);
    const words = this.#words;
    if (words[at + (BLOCK_ENTRY.page >> 2)] === page && words[at + (BLOCK_ENTRY.key >> 2)] === key) {
      words[at + (BLOCK_ENTRY.record >> 2)] = 0;
    }
  }

  clear(): void {
    this.#words.fill(0, this.#first, this.#first + ((BLOCK_ENTRIES * BLOCK_ENTRY_SIZE) >> 2));
  }

  #entry(page: number, key: number): number {
    const hash = Math.imul((page << 12) | (key >> MODE_BITS), BLOCK_HASH) >>> BLOCK_HASH_SHIFT;
    return this.#first + ((hash * BLOCK_ENTRY_SIZE) >> 2);
  }
}
