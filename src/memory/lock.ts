/**
 * A small mutual-exclusion lock in shared memory, for device state that vCPU threads and the main thread touch.
 * Critical sections are short (a register access), so a waiter blocks on the word with `Atomics.wait`.
 * Three states (free, held, held with waiters), as in U. Drepper, "Futexes Are Tricky", section 5.
 * Not re-entrant.
 */
export class Lock {
  readonly #word: Int32Array;

  /** `word` is one element of shared memory, zero when free. */
  constructor(word: Int32Array) {
    this.#word = word;
  }

  acquire(): void {
    const word = this.#word;
    if (Atomics.compareExchange(word, 0, 0, 1) === 0) return;
    while (Atomics.exchange(word, 0, 2) !== 0) Atomics.wait(word, 0, 2);
  }

  /** Like `acquire`, but gives up after about `timeout` milliseconds; whether it has the lock. */
  tryAcquire(timeout: number): boolean {
    const word = this.#word;
    if (Atomics.compareExchange(word, 0, 0, 1) === 0) return true;
    while (Atomics.exchange(word, 0, 2) !== 0) {
      if (Atomics.wait(word, 0, 2, timeout) === 'timed-out') return false;
    }
    return true;
  }

  release(): void {
    const word = this.#word;
    if (Atomics.exchange(word, 0, 0) === 2) Atomics.notify(word, 0, 1);
  }
}
