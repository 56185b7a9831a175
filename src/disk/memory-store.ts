import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';

/** A store that was not written at a piece holds nothing for it. */
const CHUNK = 65536;

/** Bytes in memory, sparse as a file is. */
export class MemoryStore implements ByteStore {
  readonly name: string;
  readonly writable: boolean;
  readonly growsWithZeroes = true;
  #size = 0;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(name: string, contents?: Uint8Array, writable = true) {
    this.name = name;
    this.writable = true;
    if (contents !== undefined) this.write(0, contents);
    this.writable = writable;
  }

  get size(): number {
    return this.#size;
  }

  /** All of it; for small stores. */
  contents(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    this.read(0, bytes);
    return bytes;
  }

  read(offset: number, target: Uint8Array): void {
    this.#pieces(offset, target.length, (chunk, start, at, length) => {
      const bytes = this.#chunks.get(chunk);
      if (bytes === undefined) target.fill(0, at, at + length);
      else target.set(bytes.subarray(start, start + length), at);
    });
  }

  readList(offset: number, list: ScatterList): void {
    const bytes = new Uint8Array(list.length);
    this.read(offset, bytes);
    list.copyFrom(bytes);
  }

  write(offset: number, source: Uint8Array): void {
    this.#checkWritable();
    this.#pieces(offset, source.length, (chunk, start, at, length) => {
      this.#chunk(chunk).set(source.subarray(at, at + length), start);
    });
    this.#size = Math.max(this.#size, offset + source.length);
  }

  writeList(offset: number, list: ScatterList): void {
    const bytes = new Uint8Array(list.length);
    list.copyTo(bytes);
    this.write(offset, bytes);
  }

  flush(): void {}

  punchHole(offset: number, length: number): void {
    this.#checkWritable();
    this.#pieces(offset, Math.max(0, Math.min(length, this.#size - offset)), (chunk, start, _at, part) => {
      if (part === CHUNK) this.#chunks.delete(chunk);
      else this.#chunks.get(chunk)?.fill(0, start, start + part);
    });
  }

  zeroRange(offset: number, length: number): void {
    this.#size = Math.max(this.#size, offset + length);
    this.punchHole(offset, length);
  }

  resize(size: number): void {
    if (size < this.#size) this.punchHole(size, this.#size - size);
    this.#checkWritable();
    this.#size = size;
  }

  nextData(offset: number): number {
    for (let at = offset; at < this.#size; at = (Math.floor(at / CHUNK) + 1) * CHUNK) {
      if (this.#chunks.has(Math.floor(at / CHUNK))) return at;
    }
    return this.#size;
  }

  nextHole(offset: number): number {
    for (let at = offset; at < this.#size; at = (Math.floor(at / CHUNK) + 1) * CHUNK) {
      if (!this.#chunks.has(Math.floor(at / CHUNK))) return at;
    }
    return this.#size;
  }

  close(): void {}

  #chunk(index: number): Uint8Array {
    let bytes = this.#chunks.get(index);
    if (bytes === undefined) this.#chunks.set(index, (bytes = new Uint8Array(CHUNK)));
    return bytes;
  }

  #pieces(
    offset: number,
    length: number,
    piece: (chunk: number, start: number, at: number, length: number) => void,
  ): void {
    for (let at = 0; at < length; ) {
      const start = (offset + at) % CHUNK;
      const part = Math.min(CHUNK - start, length - at);
      piece((offset + at - start) / CHUNK, start, at, part);
      at += part;
    }
  }

  #checkWritable(): void {
    if (!this.writable) throw new CrosvmError('E_SYSTEM', `${this.name}: the store may not be written`);
  }
}
