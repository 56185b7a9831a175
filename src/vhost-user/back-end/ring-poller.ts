import { PollWindow } from '../../base/poll-window.ts';
import type { Virtqueue } from '../../virtio/queue/virtqueue.ts';

/** Looks at the rings between two looks at everything else: some microseconds. */
const LOOKS = 100;

/** A ring; it has a queue while it runs. */
export interface PolledRing {
  readonly index: number;
  readonly queue: Virtqueue | undefined;
}

/**
 * Looks at rings that were emptied a moment ago, and whose drivers tend to have more soon. Meanwhile they need not kick:
 * a kick takes a guest out of its code and us out of our sleep, which takes longer than most requests.
 */
export class RingPoller<R extends PolledRing> {
  /** By ring. */
  readonly #windows: readonly PollWindow[];
  readonly #polled: R[] = [];

  constructor(rings: number, newWindow = () => new PollWindow()) {
    this.#windows = Array.from({ length: rings }, newWindow);
  }

  /** Whether there are rings to look at. */
  get isPolling(): boolean {
    return this.#polled.length > 0;
  }

  /** A ring is about to be served. */
  found(ring: R): void {
    this.#forget(ring);
    this.#windows[ring.index]!.end();
  }

  /** A driver has got answers. If it has got all, it may have more requests soon, which are looked for then. */
  answered(ring: R): void {
    const { queue, index } = ring;
    const window = this.#windows[index]!;
    if (queue === undefined || window.isWaiting || !queue.notifies || queue.isBusy || queue.hasNext) return;
    if (!window.begin()) return;
    queue.disableNotification();
    this.#polled.push(ring);
  }

  /** Looks for a moment; returns a ring to serve, if there is one. The drivers of those that take too long have to kick again. */
  poll(): R | undefined {
    for (let look = 0; look < LOOKS && this.isPolling; look++) {
      for (let i = this.#polled.length - 1; i >= 0; i--) {
        const ring = this.#polled[i]!;
        const { queue } = ring;
        if (queue?.hasNext === true) return ring;
        if (this.#windows[ring.index]!.isOpen) continue;
        this.#remove(i);
        if (queue?.enableNotification() === true) return ring;
      }
    }
    return undefined;
  }

  #forget(ring: R): void {
    const i = this.#polled.indexOf(ring);
    if (i !== -1) this.#remove(i);
  }

  #remove(i: number): void {
    const last = this.#polled.pop()!;
    if (i < this.#polled.length) this.#polled[i] = last;
  }
}
