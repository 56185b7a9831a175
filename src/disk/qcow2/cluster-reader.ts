import { bytesList, partOf } from '../../memory/bytes-list.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { COMPRESSED, DATA, UNALLOCATED, ZERO } from './l2-entry.ts';
import type { Parts } from './parts.ts';

/** Reads guest data, wherever it is: in clusters, compressed, in backing files, or nowhere. */
export class ClusterReader {
  readonly #parts: Parts;
  readonly #part = new ScatterList();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Fills `list` from guest offset `at`; beyond the end of the disk there are zeroes. */
  read(at: number, list: ScatterList): void {
    const { mapping, data, image } = this.#parts;
    const inside = Math.max(0, Math.min(list.length, image.header.size - at));
    for (let done = 0; done < inside; ) {
      mapping.find(at + done, inside - done);
      const { kind, length } = mapping;
      if (kind === DATA) data.readList(mapping.host, partOf(list, done, length, this.#part));
      else if (kind === UNALLOCATED) this.#readBacking(at + done, list, done, length);
      else if (kind === COMPRESSED) this.#readCompressed(at + done, list, done, length);
      else list.zero(done, length);
      done += length;
    }
    if (inside < list.length) list.zero(inside);
  }

  readBytes(at: number, bytes: Uint8Array): void {
    this.read(at, bytesList(bytes));
  }

  /** Whether the range is known to read as zeroes, without reading it. */
  isZero(at: number, length: number): boolean {
    const { mapping, backing, image } = this.#parts;
    const end = Math.min(at + length, image.header.size);
    for (let from = at; from < end; from += mapping.length) {
      mapping.find(from, end - from);
      const absent = mapping.kind === UNALLOCATED && (backing === undefined || from >= backing.size);
      if (mapping.kind !== ZERO && !absent) return false;
    }
    return true;
  }

  #readBacking(at: number, list: ScatterList, done: number, length: number): void {
    const { backing } = this.#parts;
    const inside = backing === undefined ? 0 : Math.max(0, Math.min(length, backing.size - at));
    if (inside > 0) backing!.read(at, partOf(list, done, inside, this.#part));
    if (inside < length) list.zero(done + inside, length - inside);
  }

  #readCompressed(at: number, list: ScatterList, done: number, length: number): void {
    const { mapping, compressed, image } = this.#parts;
    const cluster = compressed.read(mapping.at(at));
    const start = at % image.clusterSize;
    list.copyFrom(cluster.subarray(start, start + length), done);
  }
}
