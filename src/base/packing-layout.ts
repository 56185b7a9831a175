/** The memory that threads which compress clusters share with the one that hands them out: `ThreadPacker`. */
import type { CompressionType } from '../disk/codec.ts';

/** What a batch is: the caller's, the thread's, and the caller's again; or there will be no more. */
export const FREE = 0;
export const STARTED = 1;
export const FINISHED = 2;
export const FAILED = 3;
export const OVER = 4;

/** Words of a batch: its state, how many clusters, and behind that the length of each when packed, 0 if it would not be shorter. */
export const STATE = 0;
export const CLUSTERS = 1;
export const LENGTHS = 2;

export interface PackingBatch {
  readonly words: Int32Array;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

/** What a thread is told. Its batches are started in this order, round and round. */
export interface PackingShare {
  readonly type: CompressionType;
  readonly clusterSize: number;
  readonly batches: readonly PackingBatch[];
}

export function packingBatch(room: number, clusterSize: number): PackingBatch {
  return {
    words: new Int32Array(new SharedArrayBuffer((LENGTHS + room) * 4)),
    input: new Uint8Array(new SharedArrayBuffer(room * clusterSize)),
    output: new Uint8Array(new SharedArrayBuffer(room * clusterSize)),
  };
}
