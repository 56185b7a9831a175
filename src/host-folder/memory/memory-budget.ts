/** Bytes that a file, folder or link takes besides its content, and each of its names (both with some room to spare). */
export const NODE_BYTES = 1024;
export const NAME_BYTES = 512;

/** What a tree in memory may take, with all that clients make in it. */
export class MemoryBudget {
  readonly capacity: number;
  #used = 0;

  /** `capacity` in bytes. */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get free(): number {
    return this.capacity - this.#used;
  }

  /** False if there are not so many left. */
  take(bytes: number): boolean {
    if (bytes > this.free) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }

  /** Something takes so many more (or, negative, less) than it did; false if there are not so many left. */
  charge(node: { bytes: number }, bytes: number): boolean {
    if (!this.take(bytes)) return false;
    node.bytes += bytes;
    return true;
  }
}
