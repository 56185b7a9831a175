import { WaitContext } from './epoll.ts';

/** Called with the EPOLL flags that are true. */
export type ReadyCallback = (events: number) => void;

interface Watched {
  readonly token: number;
  readonly callback: ReadyCallback;
}

/**
 * Waits for descriptors, blocking this thread, and calls back for each that is ready: the loop of a device process.
 * A callback may watch and unwatch what it likes.
 */
export class EventLoop {
  readonly #context = new WaitContext();
  readonly #watched = new Map<number, Watched>();
  readonly #callbacks: (ReadyCallback | undefined)[] = [];
  readonly #freeTokens: number[] = [];
  /** Tokens that were given back while their events may still be among those of the last wait. */
  readonly #retired: number[] = [];

  watch(fd: number, events: number, callback: ReadyCallback): void {
    const token = this.#freeTokens.pop() ?? this.#callbacks.length;
    this.#context.add(fd, token, events);
    this.#callbacks[token] = callback;
    this.#watched.set(fd, { token, callback });
  }

  rewatch(fd: number, events: number): void {
    this.#context.modify(fd, this.#watched.get(fd)!.token, events);
  }

  /** Do it before closing the descriptor. */
  unwatch(fd: number): void {
    const watched = this.#watched.get(fd);
    if (watched === undefined) return;
    this.#watched.delete(fd);
    this.#context.remove(fd);
    this.#callbacks[watched.token] = undefined;
    this.#retired.push(watched.token);
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
