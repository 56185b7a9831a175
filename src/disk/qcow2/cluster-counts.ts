const PER_CHUNK = 8192;
const MAX_COUNT = 0xffff_ffff;

/** A number for each cluster, 0 at first; takes memory only where there is something to count. */
export class ClusterCounts {
  readonly #chunks = new Map<number, Uint32Array>();
  #lastAt = -1;
  #last: Uint32Array | undefined = undefined;
  /** Behind the last cluster that was counted. */
  end = 0;

  get(cluster: number): number {
    const index = cluster % PER_CHUNK;
    return this.#chunk((cluster - index) / PER_CHUNK)?.[index] ?? 0;
  }

  add(cluster: number, times: number): void {
    const index = cluster % PER_CHUNK;
    const at = (cluster - index) / PER_CHUNK;
    let chunk = this.#chunk(at);
    if (chunk === undefined) this.#chunks.set(at, (this.#last = chunk = new Uint32Array(PER_CHUNK)));
    chunk[index] = Math.min(MAX_COUNT, chunk[index]! + times);
    if (cluster >= this.end) this.end = cluster + 1;
  }

  /** Whether something may have been counted from cluster `from` to before `to`; if not, that is certain. */
  mayHave(from: number, to: number): boolean {
    const end = Math.min(to, this.end);
    for (let at = Math.floor(from / PER_CHUNK); at * PER_CHUNK < end; at++) if (this.#chunks.has(at)) return true;
    return false;
  }

  /** Mostly the one that was asked for before. */
  #chunk(at: number): Uint32Array | undefined {
    if (at !== this.#lastAt) {
      this.#lastAt = at;
      this.#last = this.#chunks.get(at);
    }
    return this.#last;
  }

  /** The clusters with a number, in order, and the numbers. */
  *entries(): Generator<readonly [cluster: number, count: number]> {
    for (const at of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(at)!;
      for (let i = 0; i < PER_CHUNK; i++) {
        if (chunk[i] !== 0) yield [at * PER_CHUNK + i, chunk[i]!];
      }
    }
  }
}
