import type { Name } from '../host-folder/name.ts';
import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { FUSE_WRITE, IN_HEADER_SIZE, WRITE_IN_SIZE } from './protocol.ts';

/** The longest request but for the data of a write: an extended attribute of 64 KiB, its name, a header. */
const MAX_REQUEST = 66 * 1024;

const EXTENSION_UNIT = 8;

/**
 * A request of a guest: a copy, which the guest cannot change any more. One object serves all requests. Offsets are from
 * the start of the arguments, behind the header; what lies beyond the end reads as zeroes.
 */
export class FuseRequest {
  readonly memory: HostMemory;
  readonly #view: DataView;
  /** Bytes of the request that are in the copy: header and arguments, without the data of a write. */
  #end = 0;
  /** Bytes up to which the last request has left something. */
  #dirty = 0;
  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  nodeid = 0;
  uid = 0;
  gid = 0;
  pid = 0;
  #extensionBytes = 0;

  constructor() {
    this.memory = { bytes: new Uint8Array(MAX_REQUEST + EXTENSION_UNIT), address: 0 };
    this.#view = new DataView(this.memory.bytes.buffer);
  }

  /** Takes a request. False if it has no complete header, or is longer than requests of its kind can be. */
  take(list: ScatterList): boolean {
    if (list.length < IN_HEADER_SIZE) return false;
    const { bytes } = this.memory;
    bytes.fill(0, 0, this.#dirty);
    list.copyTo(bytes, 0, IN_HEADER_SIZE + WRITE_IN_SIZE);
    const view = this.#view;
    this.opcode = view.getUint32(4, true);
    this.uniqueLow = view.getUint32(8, true);
    this.uniqueHigh = view.getUint32(12, true);
    this.nodeid = view.getUint32(16, true) + view.getUint32(20, true) * 0x1_0000_0000;
    this.uid = view.getUint32(24, true);
    this.gid = view.getUint32(28, true);
    this.pid = view.getUint32(32, true);
    this.#extensionBytes = view.getUint16(36, true) * EXTENSION_UNIT;
    const length = view.getUint32(0, true);
    this.#end = this.opcode === FUSE_WRITE ? IN_HEADER_SIZE + WRITE_IN_SIZE : length;
    this.#dirty = Math.min(MAX_REQUEST, Math.max(IN_HEADER_SIZE + WRITE_IN_SIZE, this.#end));
    if (length < IN_HEADER_SIZE || length > list.length || this.#end > Math.min(length, MAX_REQUEST)) return false;
    if (this.#end > IN_HEADER_SIZE + WRITE_IN_SIZE) {
      list.copyTo(bytes, 0, this.#end);
      // The header could have been changed in between; what counts is what was read first, and nothing reads it again.
    } else {
      bytes.fill(0, this.#end, IN_HEADER_SIZE + WRITE_IN_SIZE);
    }
    return true;
  }

  /** Bytes of the arguments. */
  get length(): number {
    return this.#end - IN_HEADER_SIZE;
  }

  u32(at: number): number {
    return this.#view.getUint32(IN_HEADER_SIZE + at, true);
  }

  /** Exact up to 2^53. */
  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * 0x1_0000_0000;
  }

  i64(at: number): number {
    return this.u32(at) + this.#view.getInt32(IN_HEADER_SIZE + at + 4, true) * 0x1_0000_0000;
  }

  big(at: number): bigint {
    return this.#view.getBigUint64(IN_HEADER_SIZE + at, true);
  }

  /** Makes `name` the text at an offset, which ends with a zero. Returns the offset behind that, or -1 without a zero. */
  text(at: number, name: Name): number {
    const { bytes } = this.memory;
    const start = IN_HEADER_SIZE + at;
    let end = start;
    while (end < this.#end && bytes[end] !== 0) end++;
    if (end >= this.#end) return -1;
    name.set(this.memory, start, end - start);
    return end + 1 - IN_HEADER_SIZE;
  }

  /** Makes `name` the `length` bytes at an offset; false if there are not so many. */
  bytes(at: number, length: number, name: Name): boolean {
    if (at + length > this.length) return false;
    name.set(this.memory, IN_HEADER_SIZE + at, length);
    return true;
  }

  /** Where extensions begin; `length` if there are none. */
  get extensions(): number {
    return Math.max(0, this.length - this.#extensionBytes);
  }
}
