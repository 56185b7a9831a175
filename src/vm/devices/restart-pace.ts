const FIRST_MS = 50;
/** A guest whose disk is gone for longer has programs that hang, and says so: and a start costs next to nothing. */
const LAST_MS = 5_000;
/** A device that has run for so long has recovered. */
const RECOVERED_MS = 10_000;

/** How soon a device that has ended is started again: at once, but one that ends again and again less and less often. */
export class RestartPace {
  #next = FIRST_MS;

  /** Milliseconds to wait for the next start, after one that has led to `ranFor` milliseconds of life. */
  delay(ranFor: number): number {
    const delay = ranFor > RECOVERED_MS ? FIRST_MS : this.#next;
    this.#next = Math.min(2 * delay, LAST_MS);
    return delay;
  }
}
