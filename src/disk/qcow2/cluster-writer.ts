import { partOf } from '../../memory/bytes-list.ts';
import { type HostMemory, ScatterList } from '../../memory/scatter-list.ts';
import type { ClusterReader } from './cluster-reader.ts';
import { compressedEntryHi, DATA } from './l2-entry.ts';
import { SUBCLUSTERS, TWO_32 } from './layout.ts';
import type { Parts } from './parts.ts';

/** Where a write that needs new clusters goes. */
interface Target {
  /** Offset in the data's store of the cluster of the first byte. */
  readonly host: number;
  readonly clusters: number;
  /** The clusters were taken for this write, and are given back if it fails. */
  readonly allocated: boolean;
  /** They read as zeroes. */
  readonly fresh: boolean;
  /** What has to be filled up: whole subclusters, or whole clusters where the old ones hold data. */
  readonly granularity: number;
}

/** Writes guest data: where it is, or, for what has no place of its own yet, in new clusters. */
export class ClusterWriter {
  readonly #parts: Parts;
  readonly #reader: ClusterReader;
  readonly #part = new ScatterList();
  readonly #filled = new ScatterList();
  readonly #head: HostMemory;
  readonly #tail: HostMemory;

  constructor(parts: Parts, reader: ClusterReader) {
    this.#parts = parts;
    this.#reader = reader;
    this.#head = { bytes: new Uint8Array(parts.image.clusterSize), address: 0 };
    this.#tail = { bytes: new Uint8Array(parts.image.clusterSize), address: 0 };
  }

  /** Writes `list` at guest offset `at`, within the disk. */
  write(at: number, list: ScatterList): void {
    const { mapping, data, allocator, writeBack } = this.#parts;
    for (let done = 0; done < list.length; ) {
      const rest = list.length - done;
      mapping.find(at + done, rest);
      if (mapping.kind === DATA && mapping.copied) {
        const { length, host } = mapping;
        this.#checkHost(host, length);
        data.writeList(host, partOf(list, done, length, this.#part));
        done += length;
      } else {
        done += this.#writeNew(at + done, rest, list, done);
        if (allocator.crowded) writeBack.flush();
      }
    }
  }

  /**
   * Writes the cluster at guest offset `at`, which is not in the image yet, as compressed data: false if that would not
   * be shorter.
   */
  writeCompressed(at: number, packed: Uint8Array): boolean {
    const { image, mapping, allocator } = this.#parts;
    const { clusterSize, header, store } = image;
    if (packed.length >= clusterSize || image.hasDataFile) return false;
    mapping.makeWritable(at);
    const offset = allocator.allocateBytes(packed.length);
    store.write(offset, packed);
    const hi = compressedEntryHi(header.clusterBits, offset, packed.length);
    mapping.setCompressed(at, hi, offset % TWO_32);
    return true;
  }

  /** Guest data may not go where tables are, nor to where no cluster is. */
  #checkHost(host: number, length: number): void {
    const problem = this.problemWith(host, length);
    if (problem !== undefined) throw this.#parts.image.corrupt(problem);
  }

  /** Why guest data may not be written to a range of the data's store; undefined if they may. */
  problemWith(host: number, length: number): string | undefined {
    const { image, metadata, allocator } = this.#parts;
    if (image.hasDataFile) return undefined;
    const end = Math.ceil((host + length) / image.clusterSize);
    for (let cluster = Math.floor(host / image.clusterSize); cluster < end; cluster++) {
      if (metadata.has(cluster)) return `guest data and tables share cluster ${cluster}`;
      if (!allocator.exists(cluster)) return `guest data in cluster ${cluster}, beyond the end of the file`;
    }
    return undefined;
  }

  /** Writes the first bytes of `list` from `done` on to clusters that are not yet there or not alone ours: how many. */
  #writeNew(at: number, max: number, list: ScatterList, done: number): number {
    const { image, mapping, data, allocator, compressed } = this.#parts;
    mapping.makeWritable(at);
    const first = at - (at % image.clusterSize);
    const target = this.#target(first, at + max);
    const { granularity } = target;
    const end = Math.min(at + max, first + target.clusters * image.clusterSize);
    const start = at - (at % granularity);
    const filledEnd = Math.ceil(end / granularity) * granularity;
    try {
      const from = this.#fill(start, at, end, filledEnd, list, done, target.fresh);
      data.writeList(target.host + (from - first), this.#filled);
    } catch (error) {
      if (target.allocated) allocator.release(target.host, target.clusters);
      throw error;
    }
    for (let cluster = first, i = 0; cluster < end; cluster += image.clusterSize, i++) {
      const old = mapping.at(cluster);
      const oldHost = target.allocated && old.hasCluster ? old.host : 0;
      const oldCompressed = old.compressed ? old.compressedRange() : undefined;
      const fromSub = Math.max(0, Math.floor((start - cluster) / image.subclusterSize));
      const toSub = Math.min(SUBCLUSTERS, (filledEnd - cluster) / image.subclusterSize);
      mapping.setData(cluster, target.host + i * image.clusterSize, fromSub, toSub);
      if (oldHost !== 0) allocator.free(oldHost);
      if (oldCompressed !== undefined) {
        allocator.freeBytes(oldCompressed.offset, oldCompressed.length);
        compressed.forget();
      }
    }
    return end - at;
  }

  /** Finds or allocates the clusters for a write from the cluster `first` to `end`. */
  #target(first: number, end: number): Target {
    const { image, mapping, allocator, data } = this.#parts;
    const { clusterSize, subclusterSize } = image;
    const entry = mapping.at(first);
    if (entry.hasCluster && entry.copied) {
      const { host } = entry;
      this.#checkHost(host, clusterSize);
      return { host, clusters: 1, allocated: false, fresh: false, granularity: subclusterSize };
    }
    const holdsData = entry.compressed || entry.hasCluster;
    const wanted = holdsData ? 1 : this.#emptyClusters(first, end);
    const granularity = holdsData ? clusterSize : subclusterSize;
    if (image.hasDataFile) {
      const fresh = first >= data.size && data.growsWithZeroes;
      return { host: first, clusters: wanted, allocated: false, fresh, granularity };
    }
    const host = allocator.allocate(wanted);
    return { host, clusters: allocator.count, allocated: true, fresh: allocator.fresh, granularity };
  }

  /** How many clusters from `first` on, which is one, have nothing in the file; as far as `end` or their table goes. */
  #emptyClusters(first: number, end: number): number {
    const { image, mapping } = this.#parts;
    const tableEnd = (Math.floor(first / image.bytesPerL2) + 1) * image.bytesPerL2;
    let at = first + image.clusterSize;
    for (; at < Math.min(end, tableEnd); at += image.clusterSize) {
      const entry = mapping.at(at);
      if (entry.hasCluster || entry.compressed) break;
    }
    return (at - first) / image.clusterSize;
  }

  /**
   * Puts what is to be written together in `#filled`: old bytes before the guest's and behind them, unless they are
   * zeroes and so is the new cluster. Returns the guest offset of its first byte.
   */
  #fill(
    start: number,
    at: number,
    end: number,
    filledEnd: number,
    list: ScatterList,
    done: number,
    fresh: boolean,
  ): number {
    const head = fresh && this.#reader.isZero(start, at - start) ? 0 : at - start;
    const tail = fresh && this.#reader.isZero(end, filledEnd - end) ? 0 : filledEnd - end;
    this.#filled.clear();
    this.#addOld(this.#head, at - head, head);
    this.#filled.addRange(list, done, end - at);
    this.#addOld(this.#tail, end, tail);
    return at - head;
  }

  #addOld(memory: HostMemory, at: number, length: number): void {
    if (length === 0) return;
    this.#reader.readBytes(at, memory.bytes.subarray(0, length));
    this.#filled.add(memory, 0, length);
  }
}
