import type { ExitReason } from '../devices/device.ts';

/** In the order of their numbers in shared memory, where 0 stands for a VM that has not ended. */
const REASONS: readonly ExitReason[] = ['powered off', 'reset', 'crash', 'panic', 'stopped'];

const STARTED = 0;
const ENDED = 1;
const PAUSED = 2;
/** How many vCPUs wait because of that. */
const WAITING = 3;
const WORDS = 4;

/**
 * Says, in memory that all threads of a VM share, that it runs, whether it is paused and, later, that it ends and why. The first reason
 * counts: what follows is a consequence of it.
 */
export class RunState {
  /** What other threads make theirs of. */
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(4 * WORDS)) {
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
    this.resume();
    this.start();
    return first;
  }

  /** The vCPUs are to wait until `resume`; kick them. */
  pause(): void {
    Atomics.store(this.#words, PAUSED, 1);
  }

  resume(): void {
    Atomics.store(this.#words, PAUSED, 0);
    Atomics.notify(this.#words, PAUSED);
  }

  /** Blocks this vCPU's thread while the VM is paused; whether it was. Cheap when it is not. */
  waitWhilePaused(): boolean {
    const words = this.#words;
    if (Atomics.load(words, PAUSED) === 0) return false;
    Atomics.add(words, WAITING, 1);
    Atomics.notify(words, WAITING);
    while (Atomics.load(words, PAUSED) !== 0 && Atomics.load(words, ENDED) === 0) Atomics.wait(words, PAUSED, 1);
    Atomics.sub(words, WAITING, 1);
    return true;
  }

  /** Settles when `cpus` vCPUs wait, with true, or after `timeout` milliseconds with false. */
  async allWait(cpus: number, timeout: number): Promise<boolean> {
    const end = performance.now() + timeout;
    for (;;) {
      const waiting = Atomics.load(this.#words, WAITING);
      if (waiting >= cpus) return true;
      const left = end - performance.now();
      if (left <= 0) return false;
      await Atomics.waitAsync(this.#words, WAITING, waiting, left).value;
    }
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
