import { availableParallelism } from 'node:os';

/**
 * Microseconds: whoever waits longer sleeps. As long as KVM lets a halted vCPU spin: about what it costs, on both sides, to
 * put a thread to sleep on one processor and to wake it from another.
 */
const LONGEST = 200;

/** The most short waits in a row that have to come before we stay awake again. With many more, a busy disk is never waited for. */
const MOST_DOUBT = 4;

/** With one processor nothing happens while we spin. */
const MAY_POLL = availableParallelism() > 1;

const microseconds = () => performance.now() * 1000;

/**
 * How long to look again and again for what is expected before sleeping until it comes. It learns from how long it took
 * the last times: what comes soon is waited for awake, and after one long wait nothing is. Where waits are now short, now
 * long, most of that would be in vain: each time that it was, it takes twice as many short waits in a row to try again.
 */
export class PollWindow {
  readonly #longest: number;
  readonly #now: () => number;
  #length = 0;
  /** Short waits since the last long one, and how many of them it takes to be open. */
  #short = 0;
  #doubt = 1;
  /** When the wait that is under way began. */
  #begin: number | undefined;

  /** `now`: in microseconds; `mayPoll`: or always sleep. */
  constructor(now = microseconds, mayPoll = MAY_POLL) {
    this.#now = now;
    this.#longest = mayPoll ? LONGEST : 0;
  }

  /** A wait begins. Returns whether to look again and again, for as long as `isOpen`. */
  begin(): boolean {
    this.#begin = this.#now();
    return this.#length > 0;
  }

  /** Whether a wait has begun and not ended. */
  get isWaiting(): boolean {
    return this.#begin !== undefined;
  }

  /** Whether it is too early to sleep. */
  get isOpen(): boolean {
    return this.#begin !== undefined && this.#now() - this.#begin < this.#length;
  }

  /** What was waited for has come, if anybody waited. */
  end(): void {
    if (this.#begin === undefined) return;
    const waited = this.#now() - this.#begin;
    this.#begin = undefined;
    if (waited <= this.#longest) this.#wasShort(waited);
    else this.#wasLong();
  }

  #wasShort(waited: number): void {
    if (this.#length > 0) this.#doubt = Math.max(1, this.#doubt / 2);
    this.#short++;
    // Waits vary; twice the last one meets most of the next.
    if (this.#short >= this.#doubt) this.#length = Math.min(this.#longest, Math.max(this.#length, 2 * waited));
  }

  #wasLong(): void {
    if (this.#length > 0) this.#doubt = Math.min(MOST_DOUBT, this.#doubt * 2);
    this.#short = 0;
    this.#length = 0;
  }
}
