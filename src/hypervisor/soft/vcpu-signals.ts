/** How threads reach a vCPU that runs: some words of its block, which it looks at between blocks of code. */
import type { EventFd } from '../../base/event-fd.ts';
import { blockOf } from './layout.ts';
import { CPU } from './state.ts';

const ASKED = -0x8000_0000;
/** A missed notice about the end of run() costs the waiter this many milliseconds. */
const POLL = 2;

/**
 * Makes vCPU `id` look up at the end of the block that it executes. One that sleeps goes on sleeping: it looks at everything
 * when it wakes.
 */
export function lookUp(words: Int32Array, id: number): void {
  Atomics.store(words, (blockOf(id) + CPU.attention) >> 2, ASKED);
}

export class VcpuSignals {
  /** Is signalled when somebody calls while the vCPU sleeps. */
  readonly call: EventFd;
  readonly #words: Int32Array;
  readonly #attention: number;
  readonly #kicked: number;
  readonly #flush: number;
  readonly #running: number;
  readonly #asleep: number;

  constructor(buffer: SharedArrayBuffer, id: number, call: EventFd) {
    const block = blockOf(id);
    this.call = call;
    this.#words = new Int32Array(buffer);
    this.#attention = (block + CPU.attention) >> 2;
    this.#kicked = (block + CPU.kicked) >> 2;
    this.#flush = (block + CPU.flushAsked) >> 2;
    this.#running = (block + CPU.running) >> 2;
    this.#asleep = (block + CPU.asleep) >> 2;
  }

  // -- any thread

  /** Makes the vCPU look up at the end of the block that it executes, or wakes it. */
  notify(): void {
    Atomics.store(this.#words, this.#attention, ASKED);
    if (Atomics.load(this.#words, this.#asleep) !== 0) this.call.signal();
  }

  kick(): void {
    Atomics.store(this.#words, this.#kicked, 1);
    this.notify();
  }

  /**
   * Makes the vCPU forget which pages it may write without a look. True: it has done so, or will before it executes
   * anything. False: it did not look up within `timeout` milliseconds; it will later.
   */
  flushTlb(timeout: number): boolean {
    const words = this.#words;
    Atomics.store(words, this.#flush, 1);
    this.notify();
    for (let left = timeout; left > 0; left -= POLL) {
      if (Atomics.load(words, this.#flush) === 0 || Atomics.load(words, this.#running) === 0) return true;
      Atomics.wait(words, this.#flush, 1, POLL);
    }
    return Atomics.load(words, this.#flush) === 0;
  }

  // -- the vCPU's own thread

  /** run() begins. The requests of before are still there. */
  enter(): void {
    Atomics.store(this.#words, this.#running, 1);
  }

  leave(): void {
    Atomics.store(this.#words, this.#running, 0);
    Atomics.notify(this.#words, this.#flush);
  }

  /** To be called before the look at everything that `notify` may be about: what comes later asks again. */
  clear(): void {
    Atomics.store(this.#words, this.#attention, 0);
  }

  takeKick(): boolean {
    return Atomics.exchange(this.#words, this.#kicked, 0) !== 0;
  }

  isFlushAsked(): boolean {
    return Atomics.load(this.#words, this.#flush) !== 0;
  }

  /** The flush that was asked for has been done. */
  flushed(): void {
    Atomics.store(this.#words, this.#flush, 0);
    Atomics.notify(this.#words, this.#flush);
  }

  /** Whether somebody has called since `clear`. */
  get isCalled(): boolean {
    return Atomics.load(this.#words, this.#attention) !== 0;
  }

  /** Whether nobody has called since `clear`. Then, until `isAwake`, whoever calls signals `call`. */
  mayFallAsleep(): boolean {
    Atomics.store(this.#words, this.#asleep, 1);
    if (!this.isCalled) return true;
    this.isAwake();
    return false;
  }

  isAwake(): void {
    Atomics.store(this.#words, this.#asleep, 0);
  }
}
