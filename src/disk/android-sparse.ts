import { partOf } from '../memory/bytes-list.ts';
import { ScatterList } from '../memory/scatter-list.ts';
import {
  CHUNK_CRC32,
  CHUNK_DONT_CARE,
  CHUNK_FILL,
  CHUNK_HEADER,
  CHUNK_RAW,
  FILE_HEADER,
  MAJOR_VERSION,
} from './android-sparse-format.ts';
import type { ByteStore } from './byte-store.ts';
import { checkRange, type Extent, formatError, unsupported } from './disk.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';

/** More pieces are an attack: 40 MB of memory. */
const MAX_CHUNKS = 1 << 21;

/** Of a chunk in a table: no data; data at an offset of the file from 0 up; or a value to fill with. */
const NOTHING = -1;
const FILLED = -2;

/** An Android sparse image: a list of pieces with data, with one value again and again, or with nothing. Read only. */
export class AndroidSparseDisk extends ReadOnlyDisk {
  readonly format = 'android-sparse';
  readonly size: number;
  /** Where each piece begins in the disk, and where its data are. */
  readonly #starts: Float64Array;
  readonly #places: Float64Array;
  readonly #fills: Uint32Array;
  readonly #list = new ScatterList();

  constructor(store: ByteStore) {
    super(store);
    const header = bytesOf(store, 0, FILE_HEADER);
    const fail = (what: string) => formatError(store.name, `Android sparse image: ${what}`);
    const major = header.getUint16(4, true);
    if (major !== MAJOR_VERSION)
      throw unsupported(store.name, `version ${major} of Android sparse images is not supported`);
    const headerSize = header.getUint16(8, true);
    const chunkHeaderSize = header.getUint16(10, true);
    const blockSize = header.getUint32(12, true);
    const blocks = header.getUint32(16, true);
    const chunks = header.getUint32(20, true);
    if (headerSize < FILE_HEADER || chunkHeaderSize < CHUNK_HEADER) throw fail('its headers are too short');
    if (blockSize === 0 || blockSize % 4 !== 0) throw fail(`blocks of ${blockSize} bytes`);
    if (chunks > MAX_CHUNKS || chunks * chunkHeaderSize > store.size - headerSize) throw fail(`${chunks} pieces`);
    this.size = blocks * blockSize;
    this.#starts = new Float64Array(chunks);
    this.#places = new Float64Array(chunks);
    this.#fills = new Uint32Array(chunks);
    let at = headerSize;
    let start = 0;
    for (let i = 0; i < chunks; i++) {
      if (at + chunkHeaderSize > store.size) throw fail(`piece ${i} is beyond the end of the file`);
      const chunk = bytesOf(store, at, CHUNK_HEADER);
      const length = chunk.getUint32(4, true) * blockSize;
      const dataBytes = chunk.getUint32(8, true) - chunkHeaderSize;
      this.#starts[i] = start;
      this.#places[i] = this.#place(chunk.getUint16(0, true), i, at + chunkHeaderSize, length, dataBytes);
      at += chunkHeaderSize + dataBytes;
      start += chunk.getUint16(0, true) === CHUNK_CRC32 ? 0 : length;
      if (start > this.size) throw fail(`piece ${i} is beyond the end of the disk`);
    }
    if (start !== this.size) throw fail(`pieces of ${start} bytes for a disk of ${this.size}`);
  }

  read(offset: number, list: ScatterList): void {
    checkRange(this.store.name, this.size, offset, list.length);
    for (let done = 0; done < list.length; ) {
      const i = this.#find(offset + done);
      const inPiece = offset + done - this.#starts[i]!;
      const length = Math.min(list.length - done, this.#end(i) - offset - done);
      const place = this.#places[i]!;
      if (place === NOTHING) list.zero(done, length);
      else if (place === FILLED) list.copyFrom(filled(this.#fills[i]!, inPiece, length), done);
      else this.store.readList(place + inPiece, partOf(list, done, length, this.#list));
      done += length;
    }
  }

  locate(offset: number, length: number, extent: Extent): void {
    checkRange(this.store.name, this.size, offset, length);
    const i = this.#find(offset);
    const place = this.#places[i]!;
    extent.depth = 0;
    extent.allocated = place !== NOTHING;
    extent.length = Math.min(length, this.#end(i) - offset);
    extent.store = place >= 0 ? this.store : undefined;
    extent.offset = place >= 0 ? place + offset - this.#starts[i]! : 0;
    const isZero = place === NOTHING || (place === FILLED && this.#fills[i] === 0);
    extent.kind = isZero ? 'zero' : place === FILLED ? 'compressed' : 'data';
  }

  /** Checks a piece and says where its data are. */
  #place(type: number, index: number, at: number, length: number, dataBytes: number): number {
    const fail = (what: string) => formatError(this.store.name, `Android sparse image: piece ${index} ${what}`);
    if (dataBytes < 0 || at + dataBytes > this.store.size) throw fail('is beyond the end of the file');
    const expected = type === CHUNK_RAW ? length : type === CHUNK_DONT_CARE ? 0 : 4;
    if (dataBytes !== expected) throw fail(`has ${dataBytes} bytes of data instead of ${expected}`);
    switch (type) {
      case CHUNK_RAW:
        return at;
      case CHUNK_FILL:
        this.#fills[index] = bytesOf(this.store, at, 4).getUint32(0, true);
        return FILLED;
      case CHUNK_DONT_CARE:
      case CHUNK_CRC32: // of everything before it; of no use to who reads here and there
        return NOTHING;
      default:
        throw fail(`is of an unknown kind, 0x${type.toString(16)}`);
    }
  }

  #end(i: number): number {
    return i + 1 < this.#starts.length ? this.#starts[i + 1]! : this.size;
  }

  /** The last piece that begins at or before `offset`: of those that begin there, the one that is not empty. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function bytesOf(store: ByteStore, offset: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  store.read(offset, bytes);
  return new DataView(bytes.buffer);
}

/** `length` bytes of a 4-byte pattern, from `from` bytes into it. */
function filled(value: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (value >>> (((from + i) % 4) * 8)) & 0xff;
  return bytes;
}
