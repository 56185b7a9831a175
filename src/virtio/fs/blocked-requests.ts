import { type BlockedRequest, type FuseServer, WAITS } from '../../fuse/fuse-server.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { type DeviceHost, EPOLLIN } from '../device.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { DeviceRegion } from '../queue/device-memory.ts';

/** The answer is a header without payload. */
const ANSWER_SIZE = 16;

/** Requests that may wait at a time. */
const MAX_WAITING = 256;
/**
 * Of a queue, one for so many of its descriptors: where there are no indirect ones each takes four, and half of them are for
 * others, among them the one that gives the lock back.
 */
const DESCRIPTORS_EACH = 8;

interface Waiting {
  readonly queue: number;
  readonly request: BlockedRequest;
  /** Where the answer goes, as guest memory may move meanwhile. */
  readonly gpa: number;
  /** With what the queue knows the request by. */
  readonly chain: DescriptorChain;
}

/** Wakes the device now and then, while something waits. */
export interface RetryTimer {
  readonly fd: number;
  /** Every so many milliseconds; 0 for never. */
  set(milliseconds: number): void;
  clear(): void;
  close(): void;
}

/** How often locks are tried again. Whoever has one may be a program of the host, which tells nobody when it gives it back. */
const RETRY_MS = 10;

/** Requests for locks that somebody else has. The device goes on with others meanwhile. */
export class BlockedRequests {
  readonly #server: FuseServer;
  readonly #timer: RetryTimer;
  readonly #host: DeviceHost;
  #waiting: Waiting[] = [];
  readonly #output = new DescriptorChain().writable;

  constructor(server: FuseServer, timer: RetryTimer, host: DeviceHost) {
    this.#server = server;
    this.#timer = timer;
    this.#host = host;
  }

  /** Keeps the request that the server has just put off; false if it cannot wait. */
  add(queue: number, { writable, id, slots }: DescriptorChain): boolean {
    if (!this.#hasPlace(queue) || writable.count === 0 || writable.lengths[0]! < ANSWER_SIZE) return false;
    const gpa = (writable.memories[0] as DeviceRegion).gpa + writable.starts[0]!;
    const chain = new DescriptorChain();
    chain.id = id;
    chain.slots = slots;
    this.#waiting.push({ queue, request: this.#server.blocked(), gpa, chain });
    if (this.#waiting.length === 1) {
      this.#host.watch(this.#timer.fd, EPOLLIN, this.#retryAll);
      this.#timer.set(RETRY_MS);
    }
    return true;
  }

  /** If the request that the server had last was for one that waits to be interrupted, that ends. */
  checkInterrupt(): void {
    if (this.#waiting.length === 0) return;
    const index = this.#waiting.findIndex(({ request }) => this.#server.wasInterrupt(request));
    if (index >= 0) this.#end(this.#waiting.splice(index, 1));
  }

  /** What waits of a queue ends. */
  interruptAll(queue: number): void {
    if (this.#waiting.length === 0) return;
    const ended = this.#waiting.filter((waiting) => waiting.queue === queue);
    this.#waiting = this.#waiting.filter((waiting) => waiting.queue !== queue);
    this.#end(ended);
  }

  #hasPlace(queue: number): boolean {
    if (this.#waiting.length === MAX_WAITING) return false;
    const ofQueue = this.#waiting.filter((waiting) => waiting.queue === queue).length;
    return ofQueue < Math.floor((this.#host.queue(queue)?.size ?? 0) / DESCRIPTORS_EACH);
  }

  #end(ended: readonly Waiting[]): void {
    for (const waiting of ended) this.#answer(waiting, (output) => this.#server.interrupt(waiting.request, output));
    this.#stopIfIdle();
  }

  readonly #retryAll = (): void => {
    this.#timer.clear();
    const tried = this.#waiting;
    this.#waiting = tried.filter(
      (waiting) => !this.#answer(waiting, (output) => this.#server.retry(waiting.request, output)),
    );
    this.#stopIfIdle();
  };

  /** Writes the answer that `answer` has and gives the request back; false if it still waits. */
  #answer({ queue: index, gpa, chain }: Waiting, answer: (output: ScatterList) => number): boolean {
    const queue = this.#host.queue(index);
    if (queue === undefined) return true;
    this.#output.clear();
    const written = this.#host.memory.append(this.#output, gpa, ANSWER_SIZE) ? answer(this.#output) : 0;
    if (written === WAITS) return false;
    queue.push(chain, written);
    this.#host.interrupt(index);
    return true;
  }

  #stopIfIdle(): void {
    if (this.#waiting.length > 0) return;
    this.#timer.set(0);
    this.#host.unwatch(this.#timer.fd);
  }
}
