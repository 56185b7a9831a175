import { close, closeAll, fileSize } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { mmap, munmap, view } from '../../base/mmap.ts';
import { inflightSize } from '../../virtio/queue/inflight-size.ts';
import { protocolError } from '../protocol/message.ts';
import type { InflightArea } from '../protocol/payloads.ts';

const PAGE_SIZE = 4096;

/**
 * The memory that outlives a back end and tells its successor what it has left undone. The back end makes it, the front
 * end keeps it and hands it to the next back end.
 */
export class InflightMemory {
  readonly area: InflightArea;
  readonly #address: number;

  private constructor(area: InflightArea, fd: number) {
    this.area = area;
    this.#address = mmap({ length: area.mmapSize, fd, offset: area.mmapOffset });
  }

  /** Makes the memory for so many queues; also the descriptor that the front end gets, which is the caller's. */
  static create(numQueues: number, queueSize: number): { memory: InflightMemory; fd: number } {
    const mmapSize = Math.ceil((inflightSize(queueSize) * numQueues) / PAGE_SIZE) * PAGE_SIZE;
    const fd = createMemfd('crosvm-inflight', mmapSize);
    try {
      return { memory: new InflightMemory({ mmapSize, mmapOffset: 0, numQueues, queueSize }, fd), fd };
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** Takes what a front end has kept. The descriptors are closed. Throws `E_VHOST_USER`. */
  static open(area: InflightArea, fds: readonly number[]): InflightMemory {
    try {
      const { mmapSize, mmapOffset, numQueues, queueSize } = area;
      const isLargeEnough = inflightSize(queueSize) * numQueues <= mmapSize;
      if (
        fds.length !== 1 ||
        mmapOffset % PAGE_SIZE !== 0 ||
        !isLargeEnough ||
        mmapOffset + mmapSize > fileSize(fds[0]!)
      ) {
        throw protocolError(`an in-flight area of ${mmapSize} bytes does not hold ${numQueues} queues of ${queueSize}`);
      }
      return new InflightMemory(area, fds[0]!);
    } finally {
      closeAll(fds);
    }
  }

  /** The part of one queue; undefined when there is none, or one for smaller queues. */
  queueArea(index: number, size: number): DataView | undefined {
    const { numQueues, queueSize } = this.area;
    if (index >= numQueues || size > queueSize) return undefined;
    const length = inflightSize(queueSize);
    return new DataView(view(this.#address + index * length, length));
  }

  close(): void {
    munmap(this.#address, this.area.mmapSize);
  }
}
