import type { HostMemory } from '../../memory/scatter-list.ts';
import { type DescriptorChain, KeptChain } from '../queue/descriptor-chain.ts';

/** A request that a disk has begun and not ended: what it takes to answer it. One object serves many requests. */
export class PendingRequest {
  readonly chain = new KeptChain();
  /** Index of its queue. */
  queue = 0;
  /** Bytes of its writable part, all of which are written in the end. */
  written = 0;
  #memory: HostMemory | undefined;
  /** Of the status, in the bytes of `#memory`. */
  #statusAt = 0;

  /** Keeps what is needed of a chain whose writable part, which is not empty, ends with the status. */
  keep(queue: number, chain: DescriptorChain): void {
    const { writable } = chain;
    this.chain.keep(chain);
    this.queue = queue;
    this.written = writable.length;
    const last = writable.count - 1; // pieces are not empty
    this.#memory = writable.memories[last]!;
    this.#statusAt = writable.starts[last]! + writable.lengths[last]! - 1;
  }

  set status(value: number) {
    this.#memory!.bytes[this.#statusAt] = value;
  }
}
