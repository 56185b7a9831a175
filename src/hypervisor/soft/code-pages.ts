/**
 * Which guest physical pages hold decoded code of one vCPU, and where: for finding blocks, and for noticing that code is
 * written.
 *
 * The code map belongs to all vCPUs. A lone one keeps it exact. Of several none knows what the others have decoded, so a
 * bit stays set until all of them have been told to drop the whole page: that happens when one without code there writes
 * to the page, which is then probably data.
 */
import { CodeMap, PAGE_SIZE, type Pieces } from './code-map.ts';
import { CodeWrites, type CodeWritten } from './code-writes.ts';
import type { Region } from './jit/jit.ts';
import { vcpuOf } from './layout.ts';
import type { CpuState } from './system/cpu-state.ts';

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
  /** The compiled region that its header leads to. */
  region: Region | undefined;
  /** Others that it was compiled into as well. */
  readonly copies: Region[];
}

interface CodePage {
  readonly byKey: Map<number, Block>;
  /** With those that start in another page. */
  readonly blocks: Set<Block>;
  /** Its place in the code map. */
  readonly entry: number;
}

export class CodePages {
  /** Others may change code while it is being decoded. */
  readonly isShared: boolean;
  readonly #vcpu: number;
  readonly #map: CodeMap;
  readonly #writes: CodeWrites;
  readonly #pages = new Map<number, CodePage>();

  constructor({ words, block }: CpuState) {
    this.#vcpu = vcpuOf(block);
    this.#map = new CodeMap(words);
    this.#writes = new CodeWrites(words, this.#map);
    this.isShared = this.#map.vcpus > 1;
  }

  find(page: number, key: number): Block | undefined {
    return this.#pages.get(page)?.byKey.get(key);
  }

  /** Gives whether writes to the block's bytes had to be announced before this call already. */
  add(block: Block): boolean {
    this.#page(block.page).byKey.set(block.key, block);
    const known = this.#addTo(block.page, block);
    return block.secondPage >= 0 ? this.#addTo(block.secondPage, block) && known : known;
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
    if (!this.isShared) {
      for (const { entry } of this.#pages.values()) this.#map.replace(entry, [0, 0]);
    }
    this.#pages.clear();
  }

  /** This vCPU has written bytes that code was decoded from, and dropped its blocks of them: tells the others. */
  announce(page: number, from: number, to: number): void {
    if (!this.isShared) return;
    if (this.#pages.has(page)) {
      this.#writes.post(this.#vcpu, page, from, to);
      return;
    }
    this.#map.retire(this.#map.entryOf(page), () => this.#writes.post(this.#vcpu, page, 0, PAGE_SIZE));
  }

  /** What others have written. False: too much to tell. */
  takeWrites(each: CodeWritten): boolean {
    return this.#writes.take(this.#vcpu, each);
  }

  #page(number: number): CodePage {
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { byKey: new Map(), blocks: new Set(), entry: this.#map.entryOf(number) };
      this.#pages.set(number, page);
    }
    return page;
  }

  #addTo(number: number, block: Block): boolean {
    const page = this.#page(number);
    page.blocks.add(block);
    return this.#map.mark(number, page.entry, pieces(range(block, number)));
  }

  #removeFrom(number: number, block: Block): void {
    const page = this.#pages.get(number);
    if (page === undefined) return;
    page.blocks.delete(block);
    if (page.blocks.size === 0) this.#pages.delete(number);
    if (this.isShared) return;
    let [low, high] = [0, 0];
    for (const other of page.blocks) {
      const bits = pieces(range(other, number));
      low |= bits[0];
      high |= bits[1];
    }
    this.#map.replace(page.entry, [low, high]);
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
function pieces([from, to]: readonly [number, number]): Pieces {
  let low = 0;
  let high = 0;
  for (let piece = from >> 6; piece <= (to - 1) >> 6; piece++) {
    if (piece < 32) low |= 1 << piece;
    else high |= 1 << (piece - 32);
  }
  return [low, high];
}
