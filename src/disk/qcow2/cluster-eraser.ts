import { bytesList } from '../../memory/bytes-list.ts';
import type { ClusterReader } from './cluster-reader.ts';
import type { ClusterWriter } from './cluster-writer.ts';
import { AUTOCLEAR_DATA_FILE_RAW } from './layout.ts';
import type { Parts } from './parts.ts';

/**
 * How to erase: space is given back, where that is cheap ('discard') or in any case ('unmap'); or what has a place keeps it.
 */
type Erase = 'discard' | 'unmap' | 'keep';

/** Makes ranges read as zeroes: discard, write zeroes. */
export class ClusterEraser {
  readonly #parts: Parts;
  readonly #reader: ClusterReader;
  readonly #writer: ClusterWriter;

  constructor(parts: Parts, reader: ClusterReader, writer: ClusterWriter) {
    this.#parts = parts;
    this.#reader = reader;
    this.#writer = writer;
  }

  /** Gives back the whole clusters within the range; with extended L2 entries, the whole subclusters. */
  discard(at: number, length: number): void {
    const [first, last] = this.#units(at, at + length);
    // Version 2 cannot say that a cluster hides what the backing file has.
    if (this.#canHide(first)) this.#erase(first, last, 'discard');
  }

  writeZeroes(at: number, length: number, mayUnmap: boolean): void {
    const end = at + length;
    const [first, last] = this.#units(at, end);
    this.#writeZeroBytes(at, first - at);
    if (this.#canHide(first)) this.#erase(first, last, mayUnmap ? 'unmap' : 'keep');
    else this.#writeZeroBytes(first, last - first);
    this.#writeZeroBytes(last, end - last);
  }

  /** Where the whole (sub)clusters within a range begin and end; the last of the disk may be incomplete. */
  #units(at: number, end: number): [first: number, last: number] {
    const { subclusterSize: unit, header } = this.#parts.image;
    const first = Math.min(Math.ceil(at / unit) * unit, end);
    return [first, Math.max(first, end === header.size ? end : Math.floor(end / unit) * unit)];
  }

  /** Whether a cluster can be made to read as zeroes without data: it has a mark for that, or there is nothing to hide. */
  #canHide(at: number): boolean {
    const { backing, image } = this.#parts;
    return image.header.version === 3 || backing === undefined || at >= backing.size;
  }

  /** Erases the (sub)clusters from `first` to `end`. */
  #erase(first: number, end: number, erase: Erase): void {
    const { clusterSize, header } = this.#parts.image;
    const from = Math.min(Math.ceil(first / clusterSize) * clusterSize, end);
    const to = Math.max(from, end === header.size ? end : Math.floor(end / clusterSize) * clusterSize);
    this.#eraseSubclusters(first, from, erase);
    this.#eraseClusters(from, to, erase);
    this.#eraseSubclusters(to, end, erase);
  }

  /** Erases a part of a cluster. */
  #eraseSubclusters(at: number, end: number, erase: Erase): void {
    const { image, mapping, allocator, data, writeBack } = this.#parts;
    if (end === at || this.#reader.isZero(at, end - at)) return;
    const entry = mapping.at(at);
    if (entry.compressed) {
      if (erase !== 'discard') this.#writeZeroBytes(at, end - at);
      return;
    }
    const { host, copied, hasCluster } = entry;
    const inCluster = at % image.clusterSize;
    mapping.makeWritable(at);
    const to = Math.ceil((inCluster + end - at) / image.subclusterSize);
    mapping.setZeroSubclusters(at, inCluster / image.subclusterSize, to);
    if (image.hasDataFile) {
      if (this.#isRaw || erase !== 'keep') this.#punchDataFile(at, end - at);
    } else if (hasCluster && erase !== 'keep') {
      if (mapping.at(at).allocated === 0) {
        mapping.dropCluster(at);
        allocator.free(host);
        if (allocator.crowded) writeBack.flush();
      } else if (copied) data.punchHole(host + inCluster, end - at);
    }
  }

  /** Erases the clusters from `first` to `end`. */
  #eraseClusters(first: number, end: number, erase: Erase): void {
    const { image, mapping, backing, allocator, writeBack } = this.#parts;
    const { clusterSize, bytesPerL2 } = image;
    for (let at = first; at < end; ) {
      if (!mapping.hasTable(at) && (backing === undefined || at >= backing.size)) {
        at = (Math.floor(at / bytesPerL2) + 1) * bytesPerL2; // nothing is there
        continue;
      }
      if (!this.#reader.isZero(at, clusterSize) || (erase !== 'keep' && mapping.at(at).hasCluster)) {
        this.#eraseCluster(at, erase);
        if (allocator.crowded) writeBack.flush();
      }
      at += clusterSize;
    }
  }

  #eraseCluster(at: number, erase: Erase): void {
    const { image, mapping, allocator, backing, compressed } = this.#parts;
    mapping.makeWritable(at);
    const entry = mapping.at(at);
    const { host, hasCluster, copied } = entry;
    const packed = entry.compressed ? entry.compressedRange() : undefined;
    const keep = erase === 'keep' && hasCluster && copied && image.header.version === 3;
    if (keep) mapping.setZero(at, true);
    else if (backing !== undefined && at < backing.size) mapping.setZero(at, false);
    else mapping.setUnallocated(at);

    if (packed !== undefined) {
      allocator.freeBytes(packed.offset, packed.length);
      compressed.forget();
    } else if (hasCluster && !image.hasDataFile && !keep) allocator.free(host);
    if (image.hasDataFile && (this.#isRaw || (hasCluster && !keep))) this.#punchDataFile(at, image.clusterSize);
  }

  /** Who reads the data file without the image shall find zeroes too. */
  get #isRaw(): boolean {
    return (this.#parts.image.header.autoclear & AUTOCLEAR_DATA_FILE_RAW) !== 0;
  }

  #punchDataFile(at: number, length: number): void {
    const { data } = this.#parts;
    const inside = Math.min(length, data.size - at);
    if (inside > 0) data.punchHole(at, inside);
  }

  /** For parts of clusters. */
  #writeZeroBytes(at: number, length: number): void {
    const { clusterSize } = this.#parts.image;
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, clusterSize - ((at + done) % clusterSize));
      if (!this.#reader.isZero(at + done, part)) this.#writer.write(at + done, bytesList(new Uint8Array(part)));
      done += part;
    }
  }
}
