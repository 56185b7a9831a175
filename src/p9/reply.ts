import { EMSGSIZE } from '../host-folder/errno.ts';
import type { Name } from '../host-folder/name.ts';
import { type HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { HEADER_SIZE, READ_HEADER_SIZE, Rlerror } from './protocol.ts';

/** The most bytes of an answer that is put together here: entries of a folder. */
const MAX_REPLY = 64 * 1024;
const ERROR_SIZE = HEADER_SIZE + 4;

/**
 * The answer to a request. Fields are appended in order to memory of ours, and copied to the client's at once; data of files
 * go to the client's memory directly.
 */
export class P9Reply {
  readonly memory: HostMemory = { bytes: new Uint8Array(MAX_REPLY), address: 0 };
  readonly #view = new DataView(this.memory.bytes.buffer);
  /** The client's memory for the data of an Rread. */
  readonly data = new ScatterList();
  #target = new ScatterList();
  /** Bytes of data behind the fields, in the client's memory. */
  #dataLength = 0;
  /** Where the next field goes. */
  at = HEADER_SIZE;

  /** Begins an answer that goes to `target`. */
  begin(target: ScatterList): void {
    this.#target = target;
    this.#dataLength = 0;
    this.at = HEADER_SIZE;
  }

  /** How many bytes of data an Rread or Rreaddir can have that is to have `msize` bytes at most. */
  room(msize: number): number {
    return Math.max(0, Math.min(this.#target.length, msize) - READ_HEADER_SIZE);
  }

  /** The same where they are put together here. */
  ownRoom(msize: number): number {
    return Math.min(this.room(msize), MAX_REPLY - READ_HEADER_SIZE);
  }

  /** Makes `data` the client's memory for the `length` bytes behind the header of an Rread. There is room for them. */
  expectData(length: number): void {
    this.data.clear();
    this.data.addRange(this.#target, READ_HEADER_SIZE, length);
  }

  /** `length` bytes have come to `data`. */
  gotData(length: number): void {
    this.u32(length);
    this.#dataLength = length;
  }

  /**
   * Sends the answer to a request of type `type`, or an error if `result` is negative or there is no room for the answer. Returns
   * its bytes; 0 if not even an error has room.
   */
  send(type: number, tag: number, result: number): number {
    if (result < 0) return this.sendError(tag, -result);
    const size = this.at + this.#dataLength;
    if (size > this.#target.length) return this.sendError(tag, EMSGSIZE);
    this.#header(size, type + 1, tag);
    this.#target.copyFrom(this.memory.bytes, 0, this.at);
    return size;
  }

  u8(value: number): void {
    this.#view.setUint8(this.at++, value);
  }

  u16(value: number): void {
    this.#view.setUint16(this.at, value, true);
    this.at += 2;
  }

  /** Writes a field again, at an offset. */
  patchU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  u32(value: number): void {
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }

  /** Of a safe integer, negative or not. */
  u64(value: number): void {
    this.u32(value % 0x1_0000_0000);
    this.u32(Math.floor(value / 0x1_0000_0000));
  }

  big(value: bigint): void {
    this.#view.setBigUint64(this.at, value, true);
    this.at += 8;
  }

  text(name: Name): void {
    this.u16(name.length);
    name.copyTo(this.memory.bytes, this.at);
    this.at += name.length;
  }

  /** Sends an error; returns as `send` does. */
  sendError(tag: number, errno: number): number {
    if (this.#target.length < ERROR_SIZE) return 0;
    this.at = HEADER_SIZE;
    this.u32(errno);
    this.#header(ERROR_SIZE, Rlerror, tag);
    this.#target.copyFrom(this.memory.bytes, 0, ERROR_SIZE);
    return ERROR_SIZE;
  }

  #header(size: number, type: number, tag: number): void {
    this.#view.setUint32(0, size, true);
    this.#view.setUint8(4, type);
    this.#view.setUint16(5, tag, true);
  }
}
