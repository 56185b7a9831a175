const PER_CHUNK = 8192;
const MAX_COUNT = 0xffff_ffff;

/** A number for each cluster, 0 at first; takes memory only where there is something to count. */
export class ClusterCounts {
  readonly #chunks = new Map<number, Uint32Array>();
  /** Behind the last cluster that was counted. */
  end = 0;

  get(cluster: number): number {
    const index = cluster % PER_CHUNK;
    return this.#chunks.get((cluster - index) / PER_CHUNK)?.[index] ?? 0;
  }

  add(cluster: number, times: number): void {
    const index = cluster % PER_CHUNK;
    const at = (cluster - index) / PER_CHUNK;
    let chunk = this.#chunks.get(at);
    if (chunk === undefined) this.#chunks.set(at, (chunk = new Uint32Array(PER_CHUNK)));
    chunk[index] = Math.min(MAX_COUNT, chunk[index]! + times);
    this.end = Math.max(this.end, cluster + 1);
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
