import { bytesList } from '../memory/bytes-list.ts';
import {
  CHUNK_FILL,
  CHUNK_HEADER,
  CHUNK_RAW,
  FILE_HEADER,
  MAJOR_VERSION,
  SPARSE_MAGIC,
} from './android-sparse-format.ts';
import type { ByteStore } from './byte-store.ts';
import type { Disk } from './disk.ts';
import type { Progress } from './tools/progress.ts';

const BLOCK = 4096;
/** Blocks that are looked at at a time, and that a piece with data has at most. */
const BATCH = 256;

/** Writes the contents of a disk as an Android sparse image to `store`, which is empty. A last part of a block is filled up. */
export function writeAndroidSparse(source: Disk, store: ByteStore, progress: Progress): void {
  const writer = new Writer(store);
  const bytes = new Uint8Array(BATCH * BLOCK);
  const words = new Uint32Array(bytes.buffer);
  for (let at = 0; at < source.size; at += bytes.length) {
    const length = Math.min(bytes.length, source.size - at);
    bytes.fill(0, length);
    source.read(at, bytesList(bytes.subarray(0, length)));
    const blocks = Math.ceil(length / BLOCK);
    for (let from = 0; from < blocks; ) {
      const fill = singleValue(words, from);
      let to = from + 1;
      while (to < blocks && singleValue(words, to) === fill) to++;
      if (fill !== undefined) writer.fill(fill, to - from);
      else writer.data(bytes.subarray(from * BLOCK, to * BLOCK), to - from);
      from = to;
    }
    progress(at + length, source.size);
  }
  writer.end();
}

/** The one value that all 32-bit words of a block have. */
function singleValue(words: Uint32Array, block: number): number | undefined {
  const first = block * (BLOCK / 4);
  const value = words[first]!;
  for (let i = first + 1; i < first + BLOCK / 4; i++) if (words[i] !== value) return undefined;
  return value;
}

class Writer {
  readonly #store: ByteStore;
  readonly #chunk = new DataView(new ArrayBuffer(CHUNK_HEADER + 4));
  #at = FILE_HEADER;
  #blocks = 0;
  #chunks = 0;
  /** A piece of one value that may go on. */
  #value = 0;
  #repeated = 0;

  constructor(store: ByteStore) {
    this.#store = store;
  }

  fill(value: number, blocks: number): void {
    if (value !== this.#value) this.#endFill();
    this.#value = value;
    this.#repeated += blocks;
  }

  data(bytes: Uint8Array, blocks: number): void {
    this.#endFill();
    this.#begin(CHUNK_RAW, blocks, bytes.length);
    this.#append(new Uint8Array(this.#chunk.buffer, 0, CHUNK_HEADER));
    this.#append(bytes);
  }

  /** Writes the header: only now are the numbers in it known. */
  end(): void {
    this.#endFill();
    const header = new DataView(new ArrayBuffer(FILE_HEADER));
    header.setUint32(0, SPARSE_MAGIC, true);
    header.setUint16(4, MAJOR_VERSION, true);
    header.setUint16(8, FILE_HEADER, true);
    header.setUint16(10, CHUNK_HEADER, true);
    header.setUint32(12, BLOCK, true);
    header.setUint32(16, this.#blocks, true);
    header.setUint32(20, this.#chunks, true);
    this.#store.write(0, new Uint8Array(header.buffer));
  }

  #endFill(): void {
    if (this.#repeated === 0) return;
    this.#begin(CHUNK_FILL, this.#repeated, 4);
    // A word of the disk is little-endian here, as the machine is.
    this.#chunk.setUint32(CHUNK_HEADER, this.#value, true);
    this.#append(new Uint8Array(this.#chunk.buffer));
    this.#repeated = 0;
  }

  #begin(type: number, blocks: number, dataBytes: number): void {
    this.#chunk.setUint16(0, type, true);
    this.#chunk.setUint32(4, blocks, true);
    this.#chunk.setUint32(8, CHUNK_HEADER + dataBytes, true);
    this.#chunks++;
    this.#blocks += blocks;
  }

  #append(bytes: Uint8Array): void {
    this.#store.write(this.#at, bytes);
    this.#at += bytes.length;
  }
}
