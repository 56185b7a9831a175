const BITS_PER_CHUNK = 32768;

/** A set of cluster numbers: bits, in chunks that exist where the set has something. */
export class ClusterSet {
  readonly #chunks = new Map<number, Uint32Array>();

  has(cluster: number): boolean {
    const bit = cluster % BITS_PER_CHUNK;
    const chunk = this.#chunks.get((cluster - bit) / BITS_PER_CHUNK);
    return chunk !== undefined && ((chunk[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  /** Adds `count` clusters; false if some of them were in the set before. */
  add(cluster: number, count = 1): boolean {
    let isNew = true;
    for (let c = cluster; c < cluster + count; c++) {
      if (this.has(c)) isNew = false;
      const bit = c % BITS_PER_CHUNK;
      const index = (c - bit) / BITS_PER_CHUNK;
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) this.#chunks.set(index, (chunk = new Uint32Array(BITS_PER_CHUNK / 32)));
      chunk[bit >>> 5]! |= 1 << (bit & 31);
    }
    return isNew;
  }

  delete(cluster: number, count = 1): void {
    for (let c = cluster; c < cluster + count; c++) {
      const bit = c % BITS_PER_CHUNK;
      const chunk = this.#chunks.get((c - bit) / BITS_PER_CHUNK);
      if (chunk !== undefined) chunk[bit >>> 5]! &= ~(1 << (bit & 31));
    }
  }
}
