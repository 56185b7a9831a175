import type { HostMemory } from '../../memory/scatter-list.ts';
import type { DeviceHost, VirtioDevice } from '../device.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { serveRequests } from '../serve-requests.ts';

/** Where randomness comes from: fills `length` bytes of memory from `start` on. */
export type EntropySource = (memory: HostMemory, start: number, length: number) => void;

/**
 * The most bytes for one request. Drivers ask for 64 or so at a time; a request for more gets fewer than it asks for, as
 * a device may do, so that one request cannot keep us busy.
 */
const MAX_REQUEST = 64 * 1024;

/** Requests served before others have their turn. */
const BATCH = 16;

/** The entropy device (VIRTIO 1.3, section 5.4). */
export class RngDevice implements VirtioDevice {
  readonly type = 'rng';
  readonly features = 0n;
  readonly queueSizes = [256];
  readonly config = new Uint8Array(0);
  readonly #source: EntropySource;
  readonly #chain = new DescriptorChain();
  #host!: DeviceHost;

  constructor(source: EntropySource) {
    this.#source = source;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  negotiated(): void {}

  serve(index: number, queue: Virtqueue): boolean {
    return serveRequests(this.#host, index, queue, this.#chain, BATCH, this.#answer);
  }

  reset(): void {}

  close(): void {}

  readonly #answer = ({ writable }: DescriptorChain): number => {
    let left = MAX_REQUEST;
    for (let i = 0; i < writable.count && left > 0; i++) {
      const part = Math.min(writable.lengths[i]!, left);
      this.#source(writable.memories[i]!, writable.starts[i]!, part);
      left -= part;
    }
    return MAX_REQUEST - left;
  };
}
