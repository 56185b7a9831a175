import type { Codec } from '../codec.ts';
import { zstdFrameLength } from '../zstd-frame.ts';
import type { ImageFile } from './image-file.ts';
import type { L2Entry } from './l2-entry.ts';

/** Reads compressed clusters. The last one is kept, as a disk is read in smaller steps. */
export class CompressedClusters {
  readonly #image: ImageFile;
  readonly #codec: Codec;
  #keptOffset = -1;
  #kept: Uint8Array | undefined = undefined;

  constructor(image: ImageFile, codec: Codec) {
    this.#image = image;
    this.#codec = codec;
  }

  /** The whole cluster that an entry describes. Throws `E_DISK_CORRUPT` if it does not decompress to one. */
  read(entry: L2Entry): Uint8Array {
    const { offset, length } = entry.compressedRange();
    if (this.#kept !== undefined && this.#keptOffset === offset) return this.#kept;
    const { store, clusterSize } = this.#image;
    // The last sector may be beyond the end of the file.
    const inFile = Math.min(length, store.size - offset);
    if (inFile <= 0) throw this.#image.corrupt(`compressed data at offset ${offset} lies beyond the end of the file`);
    const packed = new Uint8Array(inFile);
    store.read(offset, packed);
    const cluster = this.#unpack(packed, offset);
    if (cluster.length !== clusterSize) {
      throw this.#image.corrupt(`compressed data at offset ${offset} is no whole cluster`);
    }
    this.#keptOffset = offset;
    this.#kept = cluster;
    return cluster;
  }

  /** Compressed data was given back or written anew. */
  forget(): void {
    this.#kept = undefined;
  }

  #unpack(packed: Uint8Array, offset: number): Uint8Array {
    try {
      if (this.#image.header.compression === 'zlib') return this.#codec.inflate(packed, this.#image.clusterSize);
      const frame = zstdFrameLength(packed);
      if (frame !== undefined) return this.#codec.zstdDecompress(packed.subarray(0, frame), this.#image.clusterSize);
    } catch {
      // Node says nothing of use about bad data.
    }
    throw this.#image.corrupt(`compressed data at offset ${offset} cannot be decompressed`);
  }
}
