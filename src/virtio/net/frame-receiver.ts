import { ScatterList } from '../../memory/scatter-list.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { MAX_FRAME, NET_HEADER_SIZE, NUM_BUFFERS } from './net-config.ts';
import type { NetPort } from './net-port.ts';

/** Buffers of the guest that one frame may take. A guest whose buffers are so small that it takes more loses it. */
const MAX_BUFFERS = 128;

export type Received = 'frame' | 'no frame' | 'no buffer' | 'end';

/**
 * Moves frames from a port to a guest. A frame goes straight to the guest's first buffer; what that has no room for is
 * copied to more of them, where the guest allows that.
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

  constructor(port: NetPort) {
    this.#port = port;
  }

  /** Moves one frame, if there is one and a buffer for it. */
  receive(queue: Virtqueue): Received {
    const first = this.#chains[0]!;
    if (!queue.pop(first)) return 'no buffer';
    const { writable } = first;
    this.#list.clear();
    this.#list.addRange(writable, 0, writable.length);
    this.#list.add(this.#rest, 0, MAX_FRAME);
    const n = this.#port.receive(this.#list);
    if (n <= 0) {
      queue.unpop(first);
      return n === 0 ? 'end' : 'no frame';
    }
    const buffers = this.#spread(queue, n);
    // Nobody waits for a frame that the guest has no room for; there will be others.
    if (buffers === 0) return 'frame';
    this.#numBuffers[0] = buffers;
    this.#chains[0]!.writable.copyFrom(this.#numBuffers, NUM_BUFFERS);
    queue.pushTogether(this.#chains, this.#written, buffers);
    return 'frame';
  }

  /** Finds buffers for a frame of `length` bytes, whose beginning is in the first; how many, 0 (and none) if there are too few. */
  #spread(queue: Virtqueue, length: number): number {
    const room = this.#chains[0]!.writable.length;
    this.#written[0] = Math.min(length, room);
    let count = 1;
    let done = this.#written[0];
    const enough = room >= NET_HEADER_SIZE;
    while (enough && this.mergeable && done < length && count < MAX_BUFFERS) {
      const chain = this.#chains[count]!;
      if (!queue.pop(chain)) break;
      const part = Math.min(chain.writable.length, length - done);
      chain.writable.copyFrom(this.#rest.bytes.subarray(done - room, done - room + part));
      this.#written[count++] = part;
      done += part;
    }
    if (enough && done === length) return count;
    while (count > 0) queue.unpop(this.#chains[--count]!);
    return 0;
  }
}
