import { WaitContext } from './epoll.ts';

/** Called with the EPOLL flags that are true. */
export type ReadyCallback = (events: number) => void;

/**
 * Waits for descriptors, blocking this thread, and calls back for each that is ready: the loop of a device process.
 * A callback may watch and unwatch what it likes.
 */
export class EventLoop {
  readonly #context = new WaitContext();
  readonly #tokens = new Map<number, number>();
  readonly #callbacks: (ReadyCallback | undefined)[] = [];
  readonly #freeTokens: number[] = [];
  /** Tokens that were given back while their events may still be among those of the last wait. */
  readonly #retired: number[] = [];

  /** Throws `SystemError` for what cannot be waited for, such as a regular file, and for what is watched already. */
  watch(fd: number, events: number, callback: ReadyCallback): void {
    const token = this.#freeTokens.at(-1) ?? this.#callbacks.length;
    this.#context.add(fd, token, events);
    this.#freeTokens.pop();
    this.#callbacks[token] = callback;
    this.#tokens.set(fd, token);
  }

  rewatch(fd: number, events: number): void {
    this.#context.modify(fd, this.#tokens.get(fd)!, events);
  }

  /** Do it before closing the descriptor. Does nothing for one that is not watched. */
  unwatch(fd: number): void {
    const token = this.#tokens.get(fd);
    if (token === undefined) return;
    this.#tokens.delete(fd);
    this.#context.remove(fd);
    this.#callbacks[token] = undefined;
    this.#retired.push(token);
  }

  /** Waits for at most `timeout` milliseconds (-1: for ever), and calls back for all that is ready. */
  turn(timeout: number): void {
    const n = this.#context.wait(timeout);
    for (let i = 0; i < n; i++) this.#callbacks[this.#context.token(i)]?.(this.#context.events(i));
    while (this.#retired.length > 0) this.#freeTokens.push(this.#retired.pop()!);
  }

  close(): void {
    this.#context.close();
  }
}
