import type { HostMemory, ScatterList } from '../../memory/scatter-list.ts';

/** Bytes that wait, up to a fixed number of them. Memory is taken when the first ones come. */
export class ByteQueue {
  readonly capacity: number;
  #memory: HostMemory | undefined;
  #first = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get length(): number {
    return this.#length;
  }

  /** Appends a copy of the bytes of a list from `from` on. There must be room for them. */
  append(list: ScatterList, from: number): void {
    this.#memory ??= { bytes: new Uint8Array(this.capacity), address: 0 };
    const { bytes } = this.#memory;
    const end = (this.#first + this.#length) % this.capacity;
    const count = list.length - from;
    const behind = Math.min(count, this.capacity - end);
    list.copyTo(bytes.subarray(end, end + behind), from);
    list.copyTo(bytes.subarray(0, count - behind), from + behind);
    this.#length += count;
  }

  /** Appends all bytes that wait to a list. */
  describe(list: ScatterList): void {
    if (this.#memory === undefined) return;
    const behind = Math.min(this.#length, this.capacity - this.#first);
    if (behind > 0) list.add(this.#memory, this.#first, behind);
    if (this.#length > behind) list.add(this.#memory, 0, this.#length - behind);
  }

  /** The first `count` bytes need not wait any more. */
  drop(count: number): void {
    this.#first = (this.#first + count) % this.capacity;
    this.#length -= count;
  }
}
