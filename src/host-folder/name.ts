import type { HostMemory } from '../memory/scatter-list.ts';
import { NAME_MAX } from './constants.ts';
import { EINVAL, ENAMETOOLONG, ENOENT } from './errno.ts';

const SLASH = 0x2f;
const DOT = 0x2e;

/** Arguments that one call can have without a thought for the stack. */
const KEY_PIECE = 1024;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * Bytes that a client has sent: the name of a file, the target of a link, the name or the value of an attribute. They lie
 * in memory that the client cannot write to. One object serves all requests.
 */
export class Name {
  memory: HostMemory;
  /** First byte in the memory. */
  start: number;
  length: number;

  constructor(memory: HostMemory = { bytes: new Uint8Array(0), address: 0 }, start = 0, length = 0) {
    this.memory = memory;
    this.start = start;
    this.length = length;
  }

  /** For programs and tests: the bytes of a text in UTF-8. */
  static of(text: string): Name {
    const bytes = encoder.encode(text);
    return new Name({ bytes, address: 0 }, 0, bytes.length);
  }

  /** The bytes that `toKey` has made a text of. */
  static ofKey(key: string): Name {
    const bytes = Uint8Array.from(key, (character) => character.charCodeAt(0));
    return new Name({ bytes, address: 0 }, 0, bytes.length);
  }

  set(memory: HostMemory, start: number, length: number): this {
    this.memory = memory;
    this.start = start;
    this.length = length;
    return this;
  }

  /** The same byte for byte: each becomes the character of its number. */
  toKey(): string {
    const { memory, start, length } = this;
    let key = '';
    // What names of files are is made at once: put together byte by byte, a text takes twice the memory as long as it is there.
    for (let at = 0; at < length; at += KEY_PIECE) {
      key += String.fromCharCode(...memory.bytes.subarray(start + at, start + Math.min(length, at + KEY_PIECE)));
    }
    return key;
  }

  /** As UTF-8. */
  toString(): string {
    return decoder.decode(this.memory.bytes.subarray(this.start, this.start + this.length));
  }

  equals(other: Name): boolean {
    if (other.length !== this.length) return false;
    const [mine, its] = [this.memory.bytes, other.memory.bytes];
    for (let i = 0; i < this.length; i++) if (mine[this.start + i] !== its[other.start + i]) return false;
    return true;
  }

  copyTo(target: Uint8Array, at: number): void {
    const { bytes } = this.memory;
    for (let i = 0; i < this.length; i++) target[at + i] = bytes[this.start + i]!;
  }

  has(byte: number): boolean {
    const { bytes } = this.memory;
    for (let i = this.start; i < this.start + this.length; i++) if (bytes[i] === byte) return true;
    return false;
  }

  /** `.` or `..`. */
  get isDots(): boolean {
    const { memory, start, length } = this;
    return (length === 1 || (length === 2 && memory.bytes[start + 1] === DOT)) && memory.bytes[start] === DOT;
  }
}

/**
 * Whether a folder can have an entry of this name: 0, or the negative errno to refuse it with. What passes is one component
 * of a path that leads neither up nor nowhere.
 */
export function checkName(name: Name): number {
  if (name.length === 0) return -ENOENT;
  if (name.length > NAME_MAX) return -ENAMETOOLONG;
  if (name.has(SLASH) || name.has(0) || name.isDots) return -EINVAL;
  return 0;
}
