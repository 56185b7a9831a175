import { bytesList } from '../bytes-list.ts';
import type { ClusterReader } from './cluster-reader.ts';
import type { ClusterWriter } from './cluster-writer.ts';
import { AUTOCLEAR_DATA_FILE_RAW } from './layout.ts';
import type { Parts } from './parts.ts';

/** What becomes of a cluster that is erased: it is given back, or keeps its place where it has one. */
type Erase = 'give back' | 'keep';

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

  /** Gives back the whole clusters within the range. */
  discard(at: number, length: number): void {
    const { clusterSize, header } = this.#parts.image;
    const first = Math.ceil(at / clusterSize) * clusterSize;
    const atEnd = at + length === header.size;
    const end = (atEnd ? Math.ceil : Math.floor)((at + length) / clusterSize) * clusterSize;
    // Version 2 cannot say that a cluster hides what the backing file has.
    if (end > first && this.#canHide(first)) this.#erase(first, end, 'give back');
  }

  writeZeroes(at: number, length: number, mayUnmap: boolean): void {
    const { clusterSize, header } = this.#parts.image;
    const end = at + length;
    const first = Math.min(Math.ceil(at / clusterSize) * clusterSize, end);
    const last = Math.max(first, end === header.size ? end : Math.floor(end / clusterSize) * clusterSize);
    this.#writeZeroBytes(at, first - at);
    if (this.#canHide(first)) this.#erase(first, last, mayUnmap ? 'give back' : 'keep');
    else this.#writeZeroBytes(first, last - first);
    this.#writeZeroBytes(last, end - last);
  }

  /** Whether a cluster can be made to read as zeroes without data: it has a mark for that, or there is nothing to hide. */
  #canHide(at: number): boolean {
    const { backing, image } = this.#parts;
    return image.header.version === 3 || backing === undefined || at >= backing.size;
  }

  /** Erases the clusters from `first` to `end`. */
  #erase(first: number, end: number, erase: Erase): void {
    const { image, mapping, backing, allocator, writeBack } = this.#parts;
    const { clusterSize, bytesPerL2 } = image;
    for (let at = first; at < end; ) {
      if (!mapping.hasTable(at) && (backing === undefined || at >= backing.size)) {
        at = (Math.floor(at / bytesPerL2) + 1) * bytesPerL2; // nothing is there
        continue;
      }
      if (!this.#reader.isZero(at, clusterSize) || (erase === 'give back' && mapping.at(at).hasCluster)) {
        this.#eraseCluster(at, erase);
        if (allocator.crowded) writeBack.flush();
      }
      at += clusterSize;
    }
  }

  #eraseCluster(at: number, erase: Erase): void {
    const { image, mapping, allocator, backing, compressed, data } = this.#parts;
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
    // Who reads the data file without the image shall find zeroes too.
    const isRaw = (image.header.autoclear & AUTOCLEAR_DATA_FILE_RAW) !== 0;
    if (image.hasDataFile && (isRaw || (hasCluster && !keep))) {
      const length = Math.min(image.clusterSize, data.size - at);
      if (length > 0) data.punchHole(at, length);
    }
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
