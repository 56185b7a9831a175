import type { DeviceHost, VirtioDevice } from '../device.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { serveRequests } from '../serve-requests.ts';

/** VIRTIO 1.3, 5.19.6 and 5.19.7. */
const VIRTIO_PMEM_REQ_TYPE_FLUSH = 0;
const VIRTIO_PMEM_RESP_TYPE_OK = 0;
const VIRTIO_PMEM_RESP_TYPE_EIO = 1;

/** Bytes of a request, and of its answer. */
const WORD = 4;
/** A flush can take long: others have their turn after each few. */
const BATCH = 4;

/** Where the memory is in the guest: guest physical address and size in bytes. */
export interface PmemRange {
  readonly start: number;
  readonly size: number;
}

/**
 * Persistent memory (VIRTIO 1.3, section 5.19): a file that is memory of the guest. The memory itself is the VMM's to map;
 * the device carries out flushes.
 */
export class PmemDevice implements VirtioDevice {
  readonly type = 'pmem';
  readonly features = 0n;
  readonly queueSizes = [256];
  readonly config: Uint8Array;
  readonly #flush: () => void;
  readonly #close: () => void;
  readonly #chain = new DescriptorChain();
  readonly #request = new Uint8Array(WORD);
  readonly #answer = new Uint8Array(WORD);
  #host!: DeviceHost;

  /** `flush` makes durable what was written to the file by whatever way, or throws; `close` gives the file back. */
  constructor({ start, size }: PmemRange, flush: () => void, close: () => void) {
    const view = new DataView(new ArrayBuffer(16));
    view.setBigUint64(0, BigInt(start), true);
    view.setBigUint64(8, BigInt(size), true);
    this.config = new Uint8Array(view.buffer);
    this.#flush = flush;
    this.#close = close;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  negotiated(): void {}

  serve(index: number, queue: Virtqueue): boolean {
    return serveRequests(this.#host, index, queue, this.#chain, BATCH, this.#carryOut);
  }

  reset(): void {}

  close(): void {
    this.#close();
  }

  /** A request that is too short, or of a type that there is not, fails as one that the host cannot carry out. */
  readonly #carryOut = ({ readable, writable }: DescriptorChain): number => {
    const isWhole = readable.copyTo(this.#request) === WORD;
    const isFlush = isWhole && this.#request.every((byte) => byte === VIRTIO_PMEM_REQ_TYPE_FLUSH);
    this.#answer[0] = isFlush && this.#isFlushed() ? VIRTIO_PMEM_RESP_TYPE_OK : VIRTIO_PMEM_RESP_TYPE_EIO;
    return writable.copyFrom(this.#answer);
  };

  #isFlushed(): boolean {
    try {
      this.#flush();
      return true;
    } catch {
      return false;
    }
  }
}
