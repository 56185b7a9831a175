import type { Name } from '../host-folder/name.ts';
import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { HEADER_SIZE, MAXWELEM, Twrite, WRITE_HEADER_SIZE } from './protocol.ts';

/** The longest request but for the data of a write: a Twalk of names as long as paths. */
const MAX_REQUEST = 66 * 1024;

/**
 * The fields of a kind of request, in order: `b` u8, `w` u16, `d` u32, `q` u64, `s` a text (u16 length, bytes), `W` names to walk
 * (u16 count, texts), `D` data (u32 count, bytes).
 */
export type Format = string;

/**
 * A request of a client: a copy, which the client cannot change any more. One object serves all requests. Once `check` has
 * found that all fields are there, they are read one after the other, and that cannot fail.
 */
export class P9Request {
  readonly memory: HostMemory = { bytes: new Uint8Array(MAX_REQUEST), address: 0 };
  readonly #view = new DataView(this.memory.bytes.buffer);
  readonly #behindHeaders = this.memory.bytes.subarray(WRITE_HEADER_SIZE);
  /** Bytes of the message. */
  size = 0;
  type = 0;
  tag = 0;
  /** Bytes of it that are in the copy: all, or those in front of the data of a write. */
  #end = 0;
  #at = 0;

  /** Takes the header of a request; false if there is none. */
  take(list: ScatterList): boolean {
    if (list.length < HEADER_SIZE) return false;
    list.copyTo(this.memory.bytes, 0, WRITE_HEADER_SIZE);
    const view = this.#view;
    this.size = view.getUint32(0, true);
    this.type = view.getUint8(4);
    this.tag = view.getUint16(5, true);
    return true;
  }

  /** Takes the rest, if the message is complete and not too long for its kind: it has at most `longest` bytes. */
  takeRest(list: ScatterList, longest: number): boolean {
    const { size } = this;
    if (size < HEADER_SIZE || size > list.length || size > longest) return false;
    this.#end = this.type === Twrite ? Math.min(size, WRITE_HEADER_SIZE) : size;
    if (this.#end > MAX_REQUEST) return false;
    if (this.#end > WRITE_HEADER_SIZE) {
      list.copyTo(this.#behindHeaders, WRITE_HEADER_SIZE, this.#end - WRITE_HEADER_SIZE);
    }
    return true;
  }

  /** Whether the request has all fields of its format; reading them begins at the first. */
  check(format: Format): boolean {
    let at = HEADER_SIZE;
    for (let i = 0; i < format.length && at >= 0; i++) at = this.#skip(format.charCodeAt(i), at);
    this.#at = HEADER_SIZE;
    return at >= 0;
  }

  u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  u16(): number {
    const value = this.#view.getUint16(this.#at, true);
    this.#at += 2;
    return value;
  }

  u32(): number {
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  /** Exact up to 2^53. */
  u64(): number {
    const low = this.u32();
    return low + this.u32() * 0x1_0000_0000;
  }

  big(): bigint {
    const value = this.#view.getBigUint64(this.#at, true);
    this.#at += 8;
    return value;
  }

  i64(): number {
    const low = this.u32();
    return low + (this.u32() | 0) * 0x1_0000_0000;
  }

  /** Makes `name` the bytes of a text. */
  text(name: Name): void {
    const length = this.u16();
    name.set(this.memory, this.#at, length);
    this.#at += length;
  }

  /** The offset behind a field; -1 if the request ends before. */
  #skip(field: number, at: number): number {
    switch (field) {
      case 0x62: // b
        return this.#within(at + 1);
      case 0x77: // w
        return this.#within(at + 2);
      case 0x64: // d
        return this.#within(at + 4);
      case 0x71: // q
        return this.#within(at + 8);
      case 0x73: // s
        return this.#skipText(at);
      case 0x57: // W
        return this.#skipNames(at);
      default: // D
        return at + 4 <= this.#end && at + 4 + this.#view.getUint32(at, true) <= this.size ? at : -1;
    }
  }

  #within(at: number): number {
    return at <= this.#end ? at : -1;
  }

  #skipText(at: number): number {
    return at + 2 <= this.#end ? this.#within(at + 2 + this.#view.getUint16(at, true)) : -1;
  }

  #skipNames(start: number): number {
    if (start + 2 > this.#end) return -1;
    const count = this.#view.getUint16(start, true);
    if (count > MAXWELEM) return -1;
    let at = start + 2;
    for (let i = 0; i < count && at >= 0; i++) at = this.#skipText(at);
    return at;
  }
}
