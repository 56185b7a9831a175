import type { Name } from '../name.ts';

/** A name takes a byte for its length and then its bytes, rounded up to units. */
const UNIT = 8;
const CHUNK_UNITS = 1 << 17;
const CHUNK_BYTES = CHUNK_UNITS * UNIT;
const CLASSES = 256 / UNIT + 1;

/**
 * Names of many files in little memory. A name is known by a reference, a number from 1. What is removed is used again for
 * names that take as many units.
 */
export class NameStore {
  readonly #chunks: Uint8Array[] = [new Uint8Array(CHUNK_BYTES)];
  /** First unit that was never used. */
  #end = 1;
  /** References that are free, by units; each holds the next one. */
  readonly #free = new Uint32Array(CLASSES);

  /** `name` has at most 255 bytes. */
  add(name: Name): number {
    const reference = this.#take(unitsOf(name.length));
    const bytes = this.#chunk(reference);
    const at = offsetOf(reference);
    bytes[at] = name.length;
    name.copyTo(bytes, at + 1);
    return reference;
  }

  remove(reference: number): void {
    const bytes = this.#chunk(reference);
    const at = offsetOf(reference);
    const units = unitsOf(bytes[at]!);
    const next = this.#free[units]!;
    for (let i = 0; i < 4; i++) bytes[at + i] = next >>> (8 * i);
    this.#free[units] = reference;
  }

  equals(reference: number, name: Name): boolean {
    const bytes = this.#chunk(reference);
    const at = offsetOf(reference);
    if (bytes[at] !== name.length) return false;
    const other = name.memory.bytes;
    for (let i = 0; i < name.length; i++) if (bytes[at + 1 + i] !== other[name.start + i]) return false;
    return true;
  }

  /** In bytes. */
  lengthOf(reference: number): number {
    return this.#chunk(reference)[offsetOf(reference)]!;
  }

  /** Copies a name to `target`, with a zero byte behind it. */
  copyTo(reference: number, target: Uint8Array, at: number): void {
    const bytes = this.#chunk(reference);
    const from = offsetOf(reference);
    const length = bytes[from]!;
    for (let i = 0; i < length; i++) target[at + i] = bytes[from + 1 + i]!;
    target[at + length] = 0;
  }

  #take(units: number): number {
    const free = this.#free[units]!;
    if (free !== 0) {
      const bytes = this.#chunk(free);
      const at = offsetOf(free);
      this.#free[units] = bytes[at]! + bytes[at + 1]! * 0x100 + bytes[at + 2]! * 0x1_0000 + bytes[at + 3]! * 0x100_0000;
      return free;
    }
    // A name does not cross the end of a chunk.
    if ((this.#end % CHUNK_UNITS) + units > CHUNK_UNITS) this.#end = Math.ceil(this.#end / CHUNK_UNITS) * CHUNK_UNITS;
    const reference = this.#end;
    this.#end += units;
    while (this.#chunks.length * CHUNK_UNITS < this.#end) this.#chunks.push(new Uint8Array(CHUNK_BYTES));
    return reference;
  }

  #chunk(reference: number): Uint8Array {
    return this.#chunks[Math.floor(reference / CHUNK_UNITS)]!;
  }
}

function unitsOf(length: number): number {
  return (length + UNIT) >> 3;
}

function offsetOf(reference: number): number {
  return (reference % CHUNK_UNITS) * UNIT;
}
