/** The receiving side of a serial port, as the host sees it. */
export interface InputPort {
  /** Takes what fits now; how many bytes that was. */
  pushInput(bytes: Uint8Array): number;
  /** Whether the guest has asked to be told of input. */
  isListening(): boolean;
}

/** Timers, so that tests need not wait. */
export interface Timers {
  /** Calls back after `ms` milliseconds; returns what cancels that. */
  after(ms: number, callback: () => void): () => void;
}

const NEWLINE = 0x0a;
const CTRL_D = 0x04;

/** How often the port is looked at until the guest listens. */
const POLL_MS = 10;
/** How long the guest must have been listening: probing a port switches its interrupts on for a moment. */
const STEADY_POLLS = 3;
/** How soon a port that did not take all is tried again, if it does not say before that it has room. */
const RETRY_MS = 100;
/** A source is asked to pause while more than this waits here. */
const QUEUE_LIMIT = 65_536;
/** Delays before Ctrl-D: the first, and where their doubling ends. */
const FIRST_END_MS = 250;
const LAST_END_MS = 32_000;

/**
 * Brings input to a serial port without losing any: it waits until the guest listens (a kernel that has just started
 * throws away what comes before a program has opened the terminal), then gives as much as the port takes.
 *
 * The end of input is made known by Ctrl-D on a line of its own. The guest's terminal knows it as the end of a file
 * only in the mode that it is in at that moment, and a shell with line editing changes the mode for each line. So it is
 * repeated, with growing pauses, for as long as the VM runs.
 */
export class InputPump {
  readonly #port: InputPort;
  readonly #timers: Timers;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #lastByte = NEWLINE;
  #listening = false;
  #steady = 0;
  #ended = false;
  #closed = false;
  #cancelTimer: (() => void) | undefined;
  #resume: (() => void) | undefined;

  constructor(port: InputPort, timers: Timers) {
    this.#port = port;
    this.#timers = timers;
  }

  /** Takes bytes from the source. If it returns false the source shall pause until `resume` is called. */
  push(bytes: Uint8Array, resume: () => void): boolean {
    if (bytes.length === 0 || this.#closed) return true;
    this.#enqueue(bytes);
    this.#resume = resume;
    this.#deliver();
    return this.#queued <= QUEUE_LIMIT;
  }

  /** The source has no more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#lastByte !== NEWLINE) this.#enqueue(Uint8Array.of(NEWLINE));
    this.#deliver();
  }

  /** The port has room again. */
  room(): void {
    this.#deliver();
  }

  /** Gives up; cancels all timers. */
  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #enqueue(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.#lastByte = bytes.at(-1)!;
  }

  #deliver(): void {
    if (this.#closed) return;
    if (!this.#listening) {
      this.#schedule(POLL_MS, () => this.#poll());
      return;
    }
    while (this.#queue.length > 0) {
      const first = this.#queue[0]!;
      const taken = this.#port.pushInput(first);
      this.#queued -= taken;
      if (taken < first.length) {
        this.#queue[0] = first.subarray(taken);
        this.#schedule(RETRY_MS, () => this.#deliver());
        return;
      }
      this.#queue.shift();
    }
    this.#drained();
  }

  #drained(): void {
    this.#cancel();
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
    if (this.#ended) this.#schedule(FIRST_END_MS, () => this.#sendEnd(FIRST_END_MS * 2));
  }

  #poll(): void {
    this.#steady = this.#port.isListening() ? this.#steady + 1 : 0;
    if (this.#steady >= STEADY_POLLS) this.#listening = true;
    this.#deliver();
  }

  #sendEnd(next: number): void {
    this.#port.pushInput(Uint8Array.of(CTRL_D));
    this.#schedule(next, () => this.#sendEnd(Math.min(next * 2, LAST_END_MS)));
  }

  #cancel(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** One timer at a time is enough: while one is set, what it waits for has not happened. */
  #schedule(ms: number, callback: () => void): void {
    if (this.#cancelTimer !== undefined) return;
    this.#cancelTimer = this.#timers.after(ms, () => {
      this.#cancelTimer = undefined;
      if (!this.#closed) callback();
    });
  }
}
