import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';
import type { Codec } from './codec.ts';
import { checkRange, type Extent, formatError } from './disk.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';
import { FOOTER, FRAME_HEADER, HAS_CHECKSUMS, RESERVED_BITS, SEEKABLE_MAGIC, SKIPPABLE_MAGIC } from './zstd-format.ts';

/** Frames that are kept decompressed, and bounds of what an image may make us hold. */
const KEPT_FRAMES = 4;
const MAX_FRAME_BYTES = 16 << 20;
const MAX_FRAMES = 1 << 22;

/** A disk as zstd frames, with a table behind them that says where each begins. Read only. */
export class ZstdDisk extends ReadOnlyDisk {
  readonly format = 'zstd';
  readonly size: number;
  readonly #codec: Codec;
  /** Where each frame begins: in the file, and in the disk. One more than there are frames. */
  readonly #packed: Float64Array;
  readonly #starts: Float64Array;
  /** By frame, the one used last at the end. */
  readonly #kept = new Map<number, Uint8Array>();

  constructor(store: ByteStore, codec: Codec) {
    super(store);
    this.#codec = codec;
    const fail = (what: string) => formatError(store.name, `zstd: ${what}`);
    if (store.size < FRAME_HEADER + FOOTER) throw fail('the file is too short for a seek table');
    const footer = bytesOf(store, store.size - FOOTER, FOOTER);
    const frames = footer.getUint32(0, true);
    const descriptor = footer.getUint8(4);
    if (footer.getUint32(5, true) !== SEEKABLE_MAGIC) throw fail('there is no seek table');
    if ((descriptor & RESERVED_BITS) !== 0) throw fail('the seek table has reserved bits set');
    const entrySize = (descriptor & HAS_CHECKSUMS) !== 0 ? 12 : 8;
    const tableSize = frames * entrySize + FOOTER;
    const tableAt = store.size - tableSize - FRAME_HEADER;
    if (frames > MAX_FRAMES || tableAt < 0) throw fail(`a seek table of ${frames} frames`);
    const table = bytesOf(store, tableAt, tableSize + FRAME_HEADER);
    if (table.getUint32(0, true) !== SKIPPABLE_MAGIC || table.getUint32(4, true) !== tableSize) {
      throw fail('the seek table has no proper header');
    }
    this.#packed = new Float64Array(frames + 1);
    this.#starts = new Float64Array(frames + 1);
    for (let i = 0; i < frames; i++) {
      const at = FRAME_HEADER + i * entrySize;
      const unpacked = table.getUint32(at + 4, true);
      if (unpacked > MAX_FRAME_BYTES) throw fail(`frame ${i} has ${unpacked} bytes, more than ${MAX_FRAME_BYTES}`);
      this.#packed[i + 1] = this.#packed[i]! + table.getUint32(at, true);
      this.#starts[i + 1] = this.#starts[i]! + unpacked;
    }
    if (this.#packed[frames]! > tableAt) throw fail('frames and seek table overlap');
    this.size = this.#starts[frames]!;
  }

  read(offset: number, list: ScatterList): void {
    checkRange(this.store.name, this.size, offset, list.length);
    for (let done = 0; done < list.length; ) {
      const i = this.#find(offset + done);
      const start = offset + done - this.#starts[i]!;
      const length = Math.min(list.length - done, this.#starts[i + 1]! - offset - done);
      list.copyFrom(this.#frame(i).subarray(start, start + length), done);
      done += length;
    }
  }

  locate(offset: number, length: number, extent: Extent): void {
    checkRange(this.store.name, this.size, offset, length);
    extent.kind = 'compressed';
    extent.allocated = true;
    extent.depth = 0;
    extent.store = undefined;
    extent.length = Math.min(length, this.#starts[this.#find(offset) + 1]! - offset);
  }

  #frame(i: number): Uint8Array {
    let bytes = this.#kept.get(i);
    if (bytes === undefined) {
      bytes = this.#unpack(i);
      const [oldest] = this.#kept.keys();
      if (this.#kept.size >= KEPT_FRAMES) this.#kept.delete(oldest!);
    } else this.#kept.delete(i);
    this.#kept.set(i, bytes);
    return bytes;
  }

  #unpack(i: number): Uint8Array {
    const size = this.#starts[i + 1]! - this.#starts[i]!;
    const packed = new Uint8Array(this.#packed[i + 1]! - this.#packed[i]!);
    this.store.read(this.#packed[i]!, packed);
    try {
      const bytes = this.#codec.zstdDecompress(packed, size);
      if (bytes.length === size) return bytes;
    } catch {
      // Node says nothing of use about bad data.
    }
    throw formatError(this.store.name, `zstd: frame ${i} does not decompress to ${size} bytes`);
  }

  /** The frame with the byte at `offset`; empty frames have none. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle + 1]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function bytesOf(store: ByteStore, offset: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  store.read(offset, bytes);
  return new DataView(bytes.buffer);
}
