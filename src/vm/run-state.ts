import type { ExitReason } from '../devices/device.ts';

/** In the order of their numbers in shared memory, where 0 stands for a VM that has not ended. */
const REASONS: readonly ExitReason[] = ['powered off', 'reset', 'crash', 'panic', 'stopped'];

const STARTED = 0;
const ENDED = 1;

/**
 * Says, in memory that all threads of a VM share, that it runs and, later, that it ends and why. The first reason
 * counts: what follows is a consequence of it.
 */
export class RunState {
  /** What other threads make theirs of. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(8)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Lets the vCPUs go. */
  start(): void {
    Atomics.store(this.#words, STARTED, 1);
    Atomics.notify(this.#words, STARTED);
  }

  /** Blocks this thread until `start` or `end`. */
  waitForStart(): void {
    while (Atomics.load(this.#words, STARTED) === 0) Atomics.wait(this.#words, STARTED, 0);
  }

  /** Ends the VM; false if it had ended already. */
  end(reason: ExitReason): boolean {
    const first = Atomics.compareExchange(this.#words, ENDED, 0, REASONS.indexOf(reason) + 1) === 0;
    Atomics.notify(this.#words, ENDED);
    this.start();
    return first;
  }

  /** Why the VM ends; undefined while it does not. Cheap. */
  get reason(): ExitReason | undefined {
    return REASONS[Atomics.load(this.#words, ENDED) - 1];
  }

  /** Blocks this thread until the VM ends. */
  waitForEnd(): void {
    while (Atomics.load(this.#words, ENDED) === 0) Atomics.wait(this.#words, ENDED, 0);
  }
}
