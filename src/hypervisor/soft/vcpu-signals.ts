/** How threads reach a vCPU that runs: some words of its block, which it looks at between blocks of code. */
import { blockOf } from './layout.ts';
import { CPU } from './state.ts';

const ASKED = -0x8000_0000;
/** A missed notice about the end of run() costs the waiter this many milliseconds. */
const POLL = 2;

export class VcpuSignals {
  readonly #words: Int32Array;
  readonly #attention: number;
  readonly #kicked: number;
  readonly #flush: number;
  readonly #running: number;

  constructor(buffer: SharedArrayBuffer, id: number) {
    const block = blockOf(id);
    this.#words = new Int32Array(buffer);
    this.#attention = (block + CPU.attention) >> 2;
    this.#kicked = (block + CPU.kicked) >> 2;
    this.#flush = (block + CPU.flushAsked) >> 2;
    this.#running = (block + CPU.running) >> 2;
  }

  // -- any thread

  /** Makes the vCPU look up at the end of the block that it executes, or wakes it. */
  notify(): void {
    this.lookUp();
    Atomics.notify(this.#words, this.#attention);
  }

  /** Like notify, but one that sleeps goes on sleeping: it looks at everything when it wakes. */
  lookUp(): void {
    Atomics.store(this.#words, this.#attention, ASKED);
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

  /** Sleeps until `notify`, unless that has come since `clear`; at most `milliseconds`, which may be Infinity. */
  wait(milliseconds: number): void {
    if (milliseconds > 0) Atomics.wait(this.#words, this.#attention, 0, milliseconds);
  }
}
