import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { CompressionType } from '../disk/codec.ts';
import type { Packer } from '../disk/tools/packer.ts';
import { CrosvmError } from '../errors.ts';
import {
  CLUSTERS,
  FAILED,
  FREE,
  LENGTHS,
  OVER,
  type PackingBatch,
  packingBatch,
  STARTED,
  STATE,
} from './packing-layout.ts';

/** Bytes of a batch, or one cluster: to hand one over costs little beside compressing it. */
const BATCH_BYTES = 1 << 20;
const MAX_THREADS = 8;
/** A thread that says nothing for so many milliseconds has died. */
const LOST = 60_000;

/** Compresses clusters with all processors of the host. */
export class ThreadPacker implements Packer {
  readonly batches: number;
  readonly room: number;
  readonly #clusterSize: number;
  readonly #all: readonly PackingBatch[];
  readonly #threads: readonly Worker[];

  constructor(type: CompressionType, clusterSize: number) {
    const threads = Math.min(MAX_THREADS, availableParallelism());
    this.#clusterSize = clusterSize;
    this.room = Math.max(1, BATCH_BYTES / clusterSize);
    // One that is compressed, and one that waits, for each thread.
    this.batches = 2 * threads;
    this.#all = Array.from({ length: this.batches }, () => packingBatch(this.room, clusterSize));
    this.#threads = Array.from({ length: threads }, (_, thread) => {
      const batches = this.#all.filter((_, batch) => batch % threads === thread);
      return new Worker(new URL('./packing-entry.js', import.meta.url), { workerData: { type, clusterSize, batches } });
    });
  }

  input(batch: number): Uint8Array {
    return this.#all[batch]!.input;
  }

  start(batch: number, clusters: number): void {
    const { words } = this.#all[batch]!;
    words[CLUSTERS] = clusters;
    this.#set(words, STARTED);
  }

  finish(batch: number): void {
    const { words } = this.#all[batch]!;
    const silent = Atomics.wait(words, STATE, STARTED, LOST) === 'timed-out';
    if (silent || words[STATE] === FAILED) {
      throw new CrosvmError('E_DISK_COMPRESS', 'a thread that compresses clusters has failed');
    }
    Atomics.store(words, STATE, FREE);
  }

  packed(batch: number, cluster: number): Uint8Array | undefined {
    const { words, output } = this.#all[batch]!;
    const length = words[LENGTHS + cluster]!;
    const at = cluster * this.#clusterSize;
    return length === 0 ? undefined : output.subarray(at, at + length);
  }

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    for (const { words } of this.#all) this.#set(words, OVER);
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #set(words: Int32Array, state: number): void {
    Atomics.store(words, STATE, state);
    Atomics.notify(words, STATE);
  }
}
