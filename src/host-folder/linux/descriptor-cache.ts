import { closeDescriptor } from '../../base/file-calls.ts';

/** Descriptors of inodes, of which those that were not used for the longest time are closed when there are too many. */
export class DescriptorCache {
  readonly #inodes: Uint32Array;
  readonly #fds: Int32Array;
  /** A ring of slots by their last use; slot 0 is its head, and no descriptor's. */
  readonly #next: Uint16Array;
  readonly #before: Uint16Array;
  #firstFree = 1;
  readonly #onEvict: (inode: number) => void;

  /** `onEvict` is told whose descriptor was closed to make room. */
  constructor(capacity: number, onEvict: (inode: number) => void) {
    this.#inodes = new Uint32Array(capacity + 1);
    this.#fds = new Int32Array(capacity + 1);
    this.#next = new Uint16Array(capacity + 1);
    this.#before = new Uint16Array(capacity + 1);
    this.#onEvict = onEvict;
    for (let slot = 1; slot < capacity; slot++) this.#next[slot] = slot + 1;
  }

  /** Keeps a descriptor; returns its slot. */
  add(inode: number, fd: number): number {
    if (this.#firstFree === 0) {
      const oldest = this.#before[0]!;
      this.#onEvict(this.#inodes[oldest]!);
      closeDescriptor(this.take(oldest));
    }
    const slot = this.#firstFree;
    this.#firstFree = this.#next[slot]!;
    this.#inodes[slot] = inode;
    this.#fds[slot] = fd;
    this.#link(slot);
    return slot;
  }

  /** The descriptor of a slot, which is used now. */
  use(slot: number): number {
    if (this.#next[0] !== slot) {
      this.#unlink(slot);
      this.#link(slot);
    }
    return this.#fds[slot]!;
  }

  /** Takes a descriptor out, without closing it. */
  take(slot: number): number {
    this.#unlink(slot);
    this.#next[slot] = this.#firstFree;
    this.#firstFree = slot;
    return this.#fds[slot]!;
  }

  /** Closes all of them. */
  clear(): void {
    while (this.#next[0] !== 0) {
      const slot = this.#next[0]!;
      this.#onEvict(this.#inodes[slot]!);
      closeDescriptor(this.take(slot));
    }
  }

  #link(slot: number): void {
    const first = this.#next[0]!;
    this.#next[slot] = first;
    this.#before[slot] = 0;
    this.#before[first] = slot;
    this.#next[0] = slot;
  }

  #unlink(slot: number): void {
    const [next, before] = [this.#next[slot]!, this.#before[slot]!];
    this.#next[before] = next;
    this.#before[next] = before;
  }
}
