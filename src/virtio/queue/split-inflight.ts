/**
 * The area in shared memory where a back end notes which requests of a split queue it has taken and not yet given back,
 * so that its successor after a crash can do them again (vhost-user, "Inflight I/O tracking"). For each queue a header
 * and an entry for each descriptor:
 *
 *     u64 features, u16 version, u16 number of descriptors, u16 head of the last batch, u16 used index
 *     entry: u8 in flight, 5 bytes of padding, u16 next of the batch, u64 counter
 */
const VERSION = 1;
const HEADER_SIZE = 16;
const ENTRY_SIZE = 16;
const AT = { version: 8, descriptors: 10, lastBatchHead: 12, usedIndex: 14 };
const ENTRY = { inflight: 0, next: 6, counter: 8 };

export class SplitInflight {
  readonly #view: DataView;
  readonly #size: number;
  /** Requests to do again: first those of a predecessor, in the order in which it took them. */
  #again: number[] = [];
  #counter = 0;

  /** `view` is the area of one queue of up to `size` descriptors, of `inflightSize` bytes; zeroes when it is new. */
  constructor(view: DataView, size: number) {
    this.#view = view;
    this.#size = size;
  }

  /** Looks for requests to do again, when the used ring stands at `usedIndex`; returns how many there are. */
  recover(usedIndex: number): number {
    const view = this.#view;
    if (view.getUint16(AT.version, true) !== VERSION) {
      view.setUint16(AT.version, VERSION, true);
      view.setUint16(AT.descriptors, this.#size, true);
    } else this.#forgetLastBatch((usedIndex - view.getUint16(AT.usedIndex, true)) & 0xffff);
    view.setUint16(AT.usedIndex, usedIndex, true);
    const heads = Array.from({ length: this.#size }, (_, head) => head).filter(
      (head) => view.getUint8(entry(head) + ENTRY.inflight) === 1,
    );
    const counter = (head: number) => Number(view.getBigUint64(entry(head) + ENTRY.counter, true));
    this.#again = heads.sort((a, b) => counter(a) - counter(b));
    this.#counter = Math.max(0, ...heads.map(counter)) + 1;
    return heads.length;
  }

  /** How many requests are to be done again and are not taken yet. */
  get again(): number {
    return this.#again.length;
  }

  /** The next request to do again; -1 when none is left. */
  nextAgain(): number {
    return this.#again.length === 0 ? -1 : this.#again.shift()!;
  }

  taken(head: number): void {
    const at = entry(head) + ENTRY.counter;
    this.#view.setUint32(at, this.#counter, true);
    this.#view.setUint32(at + 4, this.#counter / 2 ** 32, true);
    this.#counter++;
    this.#set(head, 1);
  }

  /** It will be the next one to do again. */
  untaken(head: number): void {
    this.#again.unshift(head);
  }

  /** To be called before the used index moves on. */
  returning(head: number): void {
    this.#view.setUint16(entry(head) + ENTRY.next, this.#view.getUint16(AT.lastBatchHead, true), true);
    this.#view.setUint16(AT.lastBatchHead, head, true);
  }

  /** The used index has moved on, beyond this request. */
  returned(head: number): void {
    this.#set(head, 0);
  }

  /** All requests up to where the used index is now are `returned`. */
  moved(usedIndex: number): void {
    this.#view.setUint16(AT.usedIndex, usedIndex, true);
  }

  /** The predecessor gave so many requests back at once, and had no time to note it. */
  #forgetLastBatch(count: number): void {
    let head = this.#view.getUint16(AT.lastBatchHead, true);
    for (let left = Math.min(count, this.#size); left > 0 && head < this.#size; left--) {
      this.#set(head, 0);
      head = this.#view.getUint16(entry(head) + ENTRY.next, true);
    }
  }

  #set(head: number, inflight: number): void {
    this.#view.setUint8(entry(head) + ENTRY.inflight, inflight);
  }
}

function entry(head: number): number {
  return HEADER_SIZE + ENTRY_SIZE * head;
}
