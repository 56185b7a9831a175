/** Which guest physical pages hold decoded code, and where: for finding blocks, and for noticing that code is written. */

import type { Region } from './jit/jit.ts';
import { REGION, REGION_SIZE, REGIONS, regionEntry } from './layout.ts';
import type { CpuState } from './system/cpu-state.ts';

export const PAGE_SIZE = 4096;

/** Decoded code, from the bytes [start, end) of a page on. */
export interface Block {
  /** Guest physical page number. */
  readonly page: number;
  /** Distinguishes the blocks of a page: where they start, and the mode they were decoded in. */
  readonly key: number;
  readonly start: number;
  /** Beyond PAGE_SIZE if an instruction goes on in the next page. */
  end: number;
  readonly record: number;
  recordEnd: number;
  /** Guest physical page number of where an instruction across the page's end goes on; -1 for none. */
  secondPage: number;
  /** The records of direct branches that lead here. */
  readonly links: number[];
  /** The compiled region that it is in. */
  region: Region | undefined;
}

interface CodePage {
  readonly byKey: Map<number, Block>;
  /** With those that start in another page. */
  readonly blocks: Set<Block>;
  readonly codeMapEntry: number;
}

export class CodePages {
  readonly #state: CpuState;
  readonly #pages = new Map<number, CodePage>();

  constructor(state: CpuState) {
    this.#state = state;
  }

  find(page: number, key: number): Block | undefined {
    return this.#pages.get(page)?.byKey.get(key);
  }

  add(block: Block): void {
    this.#page(block.page).byKey.set(block.key, block);
    this.#addTo(block.page, block);
    if (block.secondPage >= 0) this.#addTo(block.secondPage, block);
  }

  remove(block: Block): void {
    this.#pages.get(block.page)?.byKey.delete(block.key);
    this.#removeFrom(block.page, block);
    if (block.secondPage >= 0) this.#removeFrom(block.secondPage, block);
  }

  /** The blocks that were made from some of the bytes [from, to) of a page. */
  overlapping(page: number, from: number, to: number): Block[] {
    const found: Block[] = [];
    for (const block of this.#pages.get(page)?.blocks ?? []) {
      const [start, end] = range(block, page);
      if (start < to && from < end) found.push(block);
    }
    return found;
  }

  clear(): void {
    for (const { codeMapEntry } of this.#pages.values()) this.#setCodeMap(codeMapEntry, 0, 0);
    this.#pages.clear();
  }

  #page(number: number): CodePage {
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { byKey: new Map(), blocks: new Set(), codeMapEntry: this.#codeMapEntry(number) };
      this.#pages.set(number, page);
    }
    return page;
  }

  #addTo(number: number, block: Block): void {
    const page = this.#page(number);
    page.blocks.add(block);
    const { words } = this.#state;
    const at = page.codeMapEntry >> 2;
    const [low, high] = pieces(range(block, number));
    // From now on stores to the page must not pass unnoticed.
    if ((words[at]! | words[at + 1]!) === 0) this.#state.tlb.protectPage(number);
    this.#setCodeMap(page.codeMapEntry, words[at]! | low, words[at + 1]! | high);
  }

  #removeFrom(number: number, block: Block): void {
    const page = this.#pages.get(number);
    if (page === undefined) return;
    page.blocks.delete(block);
    if (page.blocks.size === 0) this.#pages.delete(number);
    let [low, high] = [0, 0];
    for (const other of page.blocks) {
      const bits = pieces(range(other, number));
      low |= bits[0];
      high |= bits[1];
    }
    this.#setCodeMap(page.codeMapEntry, low, high);
  }

  #setCodeMap(entry: number, low: number, high: number): void {
    this.#state.words[entry >> 2] = low;
    this.#state.words[(entry >> 2) + 1] = high;
  }

  #codeMapEntry(page: number): number {
    const { view } = this.#state;
    const gpa = page * PAGE_SIZE;
    for (let i = 0, at = regionEntry(0); i < view.getUint32(REGIONS, true); i++, at += REGION_SIZE) {
      const offset = gpa - Number(view.getBigUint64(at + REGION.start, true));
      const size = Number(view.getBigUint64(at + REGION.size, true));
      if (offset >= 0 && offset < size) return view.getUint32(at + REGION.codeMap, true) + (offset / PAGE_SIZE) * 8;
    }
    throw new Error(`no memory at page ${page}`);
  }
}

/** Where in page `page` the block's bytes are. */
function range(block: Block, page: number): [from: number, to: number] {
  if (page !== block.page) return [0, block.end - PAGE_SIZE];
  // Both ends of an instruction may be mapped to the same page.
  if (block.secondPage === page) return [0, PAGE_SIZE];
  return [block.start, Math.min(block.end, PAGE_SIZE)];
}

/** The code map's bits for a range: one for each 64 bytes. */
function pieces([from, to]: readonly [number, number]): [low: number, high: number] {
  let low = 0;
  let high = 0;
  for (let piece = from >> 6; piece <= (to - 1) >> 6; piece++) {
    if (piece < 32) low |= 1 << piece;
    else high |= 1 << (piece - 32);
  }
  return [low, high];
}
