import type { Codec, CompressionType } from '../codec.ts';

/**
 * Compresses clusters, a batch of them at a time, perhaps while the caller does something else. Batches have numbers; they
 * are started in order, round and round, and each is finished before it is used again.
 */
export interface Packer {
  readonly batches: number;
  /** Clusters that a batch has room for. */
  readonly room: number;
  /** Where the clusters of a batch are put, one behind the other, before it is started. */
  input(batch: number): Uint8Array;
  /** Begins to compress the first `clusters` of a batch. */
  start(batch: number, clusters: number): void;
  /** Returns when that is done. Throws what went wrong. */
  finish(batch: number): void;
  /** A cluster of a finished batch; undefined if it would not become shorter. */
  packed(batch: number, cluster: number): Uint8Array | undefined;
}

/** Compresses on the spot. */
export class LocalPacker implements Packer {
  readonly batches = 1;
  readonly room = 1;
  readonly #codec: Codec;
  readonly #type: CompressionType;
  readonly #input: Uint8Array;
  #packed: Uint8Array | undefined;

  constructor(codec: Codec, type: CompressionType, clusterSize: number) {
    this.#codec = codec;
    this.#type = type;
    this.#input = new Uint8Array(clusterSize);
  }

  input(): Uint8Array {
    return this.#input;
  }

  start(): void {
    const packed = this.#codec.compress(this.#type, this.#input);
    this.#packed = packed.length < this.#input.length ? packed : undefined;
  }

  finish(): void {}

  packed(): Uint8Array | undefined {
    return this.#packed;
  }
}
