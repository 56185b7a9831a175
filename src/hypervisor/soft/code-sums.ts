/**
 * Finds out about code that was written by somebody who tells nobody: another process that has guest memory, as back ends
 * of devices have. Such a write is to be seen once the guest has mapped the page anew, as it must after a device has read
 * something into it. So whenever a code page is met under a linear address that is not known (any more), the bytes that
 * code was decoded from are compared with sums of what they were. Pages are summed up in pieces of 64 bytes.
 *
 * Without such processes all of this is left out.
 */
import { PAGE_SIZE } from './code-map.ts';
import { AREA, areaOf, CODE_SUM_ENTRIES, CODE_SUM_ENTRY, CODE_SUM_ENTRY_SIZE, EXTERNAL_WRITERS } from './layout.ts';

/** Bytes of a piece. */
export const PIECE_SIZE = 64;
const PIECES = PAGE_SIZE / PIECE_SIZE;

/** The core's function (interpreter/code-sum.ts). */
export type CodeSum = (host: number, low: number, high: number) => number;

interface SummedPage {
  /** Which pieces code was decoded from: 0-31 and 32-63. */
  low: number;
  high: number;
  /** By piece, and of all those pieces together. */
  readonly sums: Int32Array;
  total: number;
}

export class CodeSums {
  readonly #words: Int32Array;
  readonly #table: number;
  readonly #sum: CodeSum;
  readonly #pages = new Map<number, SummedPage>();

  /** `words`: the whole WebAssembly memory. */
  constructor(words: Int32Array, vcpu: number, sum: CodeSum) {
    this.#words = words;
    this.#table = areaOf(vcpu) + AREA.codeSums;
    this.#sum = sum;
    this.clear();
  }

  /** Whether there is anybody who writes memory and tells nobody. */
  get areNeeded(): boolean {
    return this.#words[EXTERNAL_WRITERS >> 2] !== 0;
  }

  /** Code was decoded from bytes [from, to) of guest physical page `page`, whose bytes are at `host`. */
  add(page: number, host: number, from: number, to: number): void {
    let summed = this.#pages.get(page);
    if (summed === undefined) {
      summed = { low: 0, high: 0, sums: new Int32Array(PIECES), total: 0 };
      this.#pages.set(page, summed);
    }
    for (let piece = Math.floor(from / PIECE_SIZE); piece * PIECE_SIZE < to; piece++) {
      if (!has(summed, piece)) toggle(summed, piece, this.#sumOf(host, piece));
    }
    this.#publish(page, summed);
  }

  /** There is no code any more that was decoded from bytes of these pieces. */
  remove(page: number, from: number, to: number): void {
    const summed = this.#pages.get(page);
    if (summed === undefined) return;
    for (let piece = Math.floor(from / PIECE_SIZE); piece * PIECE_SIZE < to; piece++) {
      if (has(summed, piece)) toggle(summed, piece, summed.sums[piece]!);
    }
    this.#publish(page, summed);
  }

  /** Calls back with each range of bytes of a page that has changed, in whole pieces: no code may be left of it. */
  check(page: number, host: number, onChange: (from: number, to: number) => void): void {
    const summed = this.#pages.get(page);
    if (summed === undefined) return;
    if (this.#sum(host, summed.low, summed.high) !== summed.total) {
      for (let piece = 0; piece < PIECES; piece++) {
        if (!has(summed, piece) || summed.sums[piece] === this.#sumOf(host, piece)) continue;
        onChange(piece * PIECE_SIZE, (piece + 1) * PIECE_SIZE);
      }
    }
    this.#publish(page, summed);
  }

  clear(): void {
    this.#pages.clear();
    for (let page = 0; page < CODE_SUM_ENTRIES; page++) this.#words[this.#entry(page)] = -1;
  }

  #sumOf(host: number, piece: number): number {
    return piece < 32 ? this.#sum(host, 1 << piece, 0) : this.#sum(host, 0, 1 << (piece - 32));
  }

  /** Lets generated code know what the page's code must be like. */
  #publish(page: number, { low, high, total }: SummedPage): void {
    const entry = this.#entry(page);
    this.#words[entry] = page;
    this.#words[entry + (CODE_SUM_ENTRY.sum >> 2)] = total;
    this.#words[entry + (CODE_SUM_ENTRY.low >> 2)] = low;
    this.#words[entry + (CODE_SUM_ENTRY.high >> 2)] = high;
  }

  /** Index of the first word of the entry that a page has. */
  #entry(page: number): number {
    return (this.#table + (page & (CODE_SUM_ENTRIES - 1)) * CODE_SUM_ENTRY_SIZE) >> 2;
  }
}

function has({ low, high }: SummedPage, piece: number): boolean {
  return (((piece < 32 ? low : high) >>> (piece & 31)) & 1) !== 0;
}

/** Adds or removes a piece with this sum. */
function toggle(summed: SummedPage, piece: number, sum: number): void {
  if (piece < 32) summed.low ^= 1 << piece;
  else summed.high ^= 1 << (piece - 32);
  summed.sums[piece] = sum;
  summed.total ^= sum;
}
