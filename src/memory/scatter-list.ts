/** A stretch of memory that pieces of requests lie in: guest RAM, or a buffer of ours. */
export interface HostMemory {
  readonly bytes: Uint8Array;
  /** Where `bytes[0]` lies in this process (for system calls), or 0 where there is no such thing. */
  readonly address: number;
}

/**
 * Where the bytes of a request lie: pieces of memory, in order, as readv(2) takes them. One list serves all requests of
 * a queue, so nothing is allocated for a request.
 */
export class ScatterList {
  /** Number of pieces; beyond it the arrays hold what earlier requests left. */
  count = 0;
  /** Bytes of all pieces together. */
  length = 0;
  readonly memories: HostMemory[] = [];
  /** Where each piece starts in the bytes of its memory. */
  readonly starts: number[] = [];
  readonly lengths: number[] = [];

  clear(): void {
    this.count = 0;
    this.length = 0;
  }

  /** Appends a piece. The caller has checked that it lies within `memory`. */
  add(memory: HostMemory, start: number, length: number): void {
    this.memories[this.count] = memory;
    this.starts[this.count] = start;
    this.lengths[this.count] = length;
    this.count++;
    this.length += length;
  }

  /** Appends bytes `from` to `from + length` of another list, which has that many. */
  addRange(source: ScatterList, from: number, length: number): void {
    let skip = from;
    let rest = length;
    for (let i = 0; i < source.count && rest > 0; i++) {
      const size = source.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, rest);
      this.add(source.memories[i]!, source.starts[i]! + skip, part);
      rest -= part;
      skip = 0;
    }
    if (rest > 0) throw new RangeError(`bytes ${from}-${from + length} of a list of ${source.length}`);
  }

  /** Copies the bytes at `from` of this list to `target`, at most `length`; as many as both have. Returns how many. */
  copyTo(target: Uint8Array, from = 0, length = target.length): number {
    let skip = from;
    let at = 0;
    for (let i = 0; i < this.count && at < length; i++) {
      const size = this.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, length - at);
      copyBytes(this.memories[i]!.bytes, this.starts[i]! + skip, target, at, part);
      at += part;
      skip = 0;
    }
    return at;
  }

  /** Copies the first `length` bytes of `source` to those at `from` of this list; as many as it has. Returns how many. */
  copyFrom(source: Uint8Array, from = 0, length = source.length): number {
    let skip = from;
    let at = 0;
    for (let i = 0; i < this.count && at < length; i++) {
      const size = this.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, length - at);
      copyBytes(source, at, this.memories[i]!.bytes, this.starts[i]! + skip, part);
      at += part;
      skip = 0;
    }
    return at;
  }

  /** Fills `length` bytes from `from` on with zeroes; all without arguments. */
  zero(from = 0, length = this.length - from): void {
    let skip = from;
    let rest = length;
    for (let i = 0; i < this.count && rest > 0; i++) {
      const size = this.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const start = this.starts[i]! + skip;
      const part = Math.min(size - skip, rest);
      this.memories[i]!.bytes.fill(0, start, start + part);
      rest -= part;
      skip = 0;
    }
  }
}

/** A copy shorter than this costs less byte by byte than with the view that `set` needs. */
const FEW_BYTES = 64;

function copyBytes(source: Uint8Array, from: number, target: Uint8Array, at: number, length: number): void {
  if (length >= FEW_BYTES) target.set(source.subarray(from, from + length), at);
  else for (let i = 0; i < length; i++) target[at + i] = source[from + i]!;
}
