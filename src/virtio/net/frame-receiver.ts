import { ScatterList } from '../../memory/scatter-list.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { MAX_FRAME, NET_HEADER_SIZE, NUM_BUFFERS } from './net-config.ts';
import type { NetPort } from './net-port.ts';

/** Buffers of the guest that one frame may take. A guest whose buffers are so small that it takes more loses it. */
const MAX_BUFFERS = 128;

/** With 'no buffer' the driver has been asked to say when there are more. */
export type Received = 'frame' | 'no frame' | 'no buffer' | 'end';

/**
 * Moves frames from a port to a guest. A frame goes straight to the guest's first buffer; what that has no room for is
 * copied to more of them, where the guest allows that. A frame that a slow guest has too few buffers for waits, as it would
 * on a wire: a sender that loses frames slows down far more.
 */
export class FrameReceiver {
  /** Frames may be spread over several buffers (VIRTIO_NET_F_MRG_RXBUF). */
  mergeable = false;
  readonly #port: NetPort;
  readonly #chains = Array.from({ length: MAX_BUFFERS }, () => new DescriptorChain());
  readonly #written = new Array<number>(MAX_BUFFERS).fill(0);
  readonly #list = new ScatterList();
  readonly #rest = { bytes: new Uint8Array(MAX_FRAME), address: 0 };
  readonly #numBuffers = new Uint8Array(2);
  /** Bytes of the frame that waits in #rest, or 0. */
  #held = 0;
  /** As many buffers at a time as the guest is known to have. */
  #most = 0;

  constructor(port: NetPort) {
    this.#port = port;
  }

  /** The driver begins anew. */
  reset(): void {
    this.#held = 0;
    this.#most = 0;
  }

  /** Moves one frame, if there is one and buffers for it. */
  receive(queue: Virtqueue): Received {
    const first = this.#chains[0]!;
    if (!take(queue, first)) return 'no buffer';
    if (this.#held > 0) return this.#deliver(queue, this.#held, 0);
    const { writable } = first;
    this.#list.clear();
    this.#list.addRange(writable, 0, writable.length);
    this.#list.add(this.#rest, 0, MAX_FRAME);
    const n = this.#port.receive(this.#list);
    if (n > 0) return this.#deliver(queue, n, Math.min(n, writable.length));
    queue.unpop(first);
    return n === 0 ? 'end' : 'no frame';
  }

  /** Gives a frame of `length` bytes to the guest. The first `done` are in its first buffer, the others in #rest. */
  #deliver(queue: Virtqueue, length: number, done: number): Received {
    const { writable } = this.#chains[0]!;
    const room = writable.length;
    this.#held = 0;
    if (room < NET_HEADER_SIZE || (room < length && !this.mergeable)) return this.#giveBack(queue, 1);
    let placed = Math.min(length, room);
    this.#written[0] = placed;
    if (done === 0) writable.copyFrom(this.#rest.bytes.subarray(0, placed));
    let count = 1;
    for (; placed < length && count < MAX_BUFFERS; count++) {
      const chain = this.#chains[count]!;
      if (!take(queue, chain)) return this.#waitForMore(queue, length, done, count);
      const part = Math.min(chain.writable.length, length - placed);
      chain.writable.copyFrom(this.#rest.bytes.subarray(placed - done, placed - done + part));
      this.#written[count] = part;
      placed += part;
    }
    if (placed < length) return this.#giveBack(queue, count);
    this.#most = Math.max(this.#most, count);
    this.#numBuffers[0] = count;
    writable.copyFrom(this.#numBuffers, NUM_BUFFERS);
    queue.pushTogether(this.#chains, this.#written, count);
    return 'frame';
  }

  /** The guest has no more than `count` buffers now. If it is known to have had more, they come back, and the frame waits. */
  #waitForMore(queue: Virtqueue, length: number, done: number, count: number): Received {
    if (count >= this.#most) {
      this.#most = count;
      return this.#giveBack(queue, count);
    }
    const { bytes } = this.#rest;
    if (done > 0) {
      bytes.copyWithin(done, 0, length - done);
      this.#chains[0]!.writable.copyTo(bytes.subarray(0, done));
    }
    this.#held = length;
    this.#giveBack(queue, count);
    return 'no buffer';
  }

  /** Nobody waits for a frame that the guest can have no room for; there will be others. */
  #giveBack(queue: Virtqueue, count: number): Received {
    for (let i = count - 1; i >= 0; i--) queue.unpop(this.#chains[i]!);
    return 'frame';
  }
}

/** Takes a buffer; false when there is none, and the driver will say when there is. */
function take(queue: Virtqueue, chain: DescriptorChain): boolean {
  while (!queue.pop(chain)) if (!queue.enableNotification()) return false;
  return true;
}
