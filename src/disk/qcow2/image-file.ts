import { CrosvmError } from '../../errors.ts';
import type { ByteStore } from '../byte-store.ts';
import { bytesPerL2, type Header } from './header.ts';
import {
  HEADER_AUTOCLEAR,
  HEADER_INCOMPATIBLE,
  HEADER_L1,
  HEADER_REFCOUNT_TABLE,
  HEADER_SIZE,
  HEADER_SNAPSHOTS,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_DIRTY,
  INCOMPATIBLE_EXTENDED_L2,
  SUBCLUSTERS,
  TWO_32,
} from './layout.ts';

/** The file of an image, its header, and the sizes that follow from it. */
export class ImageFile {
  readonly store: ByteStore;
  readonly header: Header;
  readonly clusterSize: number;
  /** What can be allocated on its own: a subcluster with extended L2 entries, else a cluster. */
  readonly subclusterSize: number;
  readonly extended: boolean;
  readonly l2EntrySize: number;
  /** Guest bytes that an L2 table is about. */
  readonly bytesPerL2: number;
  /** Guest data lies in another file, at its guest offset. */
  readonly hasDataFile: boolean;
  #writable: boolean;

  constructor(store: ByteStore, header: Header) {
    this.store = store;
    this.header = header;
    this.clusterSize = 2 ** header.clusterBits;
    this.extended = (header.incompatible & INCOMPATIBLE_EXTENDED_L2) !== 0;
    this.hasDataFile = (header.incompatible & INCOMPATIBLE_DATA_FILE) !== 0;
    this.l2EntrySize = this.extended ? 16 : 8;
    this.subclusterSize = this.extended ? this.clusterSize / SUBCLUSTERS : this.clusterSize;
    this.bytesPerL2 = bytesPerL2(header);
    this.#writable = store.writable;
  }

  get name(): string {
    return this.store.name;
  }

  /** False once the image turned out to be corrupt. */
  get writable(): boolean {
    return this.#writable;
  }

  /** The number of clusters that hold `bytes` bytes. */
  clustersFor(bytes: number): number {
    return Math.ceil(bytes / this.clusterSize);
  }

  /** `E_DISK_CORRUPT`. From here on nothing is written, and the image says so to whoever opens it next. */
  corrupt(what: string): CrosvmError {
    if (this.#writable) {
      this.#writable = false;
      this.#mark(this.header.incompatible | INCOMPATIBLE_CORRUPT);
    }
    return new CrosvmError('E_DISK_CORRUPT', `${this.name}: the image is corrupt: ${what}`);
  }

  /** Until `markSound`, whoever opens the image has to check it first. Version 2 cannot say that. */
  markDirty(): void {
    this.#mark(this.header.incompatible | INCOMPATIBLE_DIRTY);
  }

  /** The image was checked and is right. */
  markSound(): void {
    this.#mark(this.header.incompatible & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT));
  }

  #mark(incompatible: number): void {
    if (this.header.version === 2 || incompatible === this.header.incompatible) return;
    this.header.incompatible = incompatible;
    this.writeFeatures();
  }

  /** Reads a table or part of one, which must lie within the file. */
  readTable(what: string, offset: number, length: number): Uint8Array {
    if (length > 0 && length > this.store.size - offset) {
      throw this.corrupt(`${what} at offset ${offset} lies beyond the end of the file`);
    }
    const bytes = new Uint8Array(length);
    this.store.read(offset, bytes);
    return bytes;
  }

  /** Each of these writes one sector, which happens as a whole or not at all. */
  writeFeatures(): void {
    const { incompatible, compatible, autoclear } = this.header;
    this.#patch(HEADER_INCOMPATIBLE, [0, incompatible]);
    this.#patch(HEADER_INCOMPATIBLE + 8, [0, compatible]);
    this.#patch(HEADER_AUTOCLEAR, [0, autoclear]);
  }

  writeSize(): void {
    this.#patch(HEADER_SIZE, words(this.header.size));
  }

  writeL1(): void {
    this.#patch(HEADER_L1, [this.header.l1Size, ...words(this.header.l1Offset)]);
  }

  /** Both at once. */
  writeSizeAndL1(): void {
    const { size, l1Size, l1Offset } = this.header;
    const unencrypted = 0; // between the two
    this.#patch(HEADER_SIZE, [...words(size), unencrypted, l1Size, ...words(l1Offset)]);
  }

  writeRefcountTable(): void {
    const { refcountTableOffset, refcountTableClusters } = this.header;
    this.#patch(HEADER_REFCOUNT_TABLE, [...words(refcountTableOffset), refcountTableClusters]);
  }

  writeSnapshots(): void {
    this.#patch(HEADER_SNAPSHOTS, [this.header.snapshotCount, ...words(this.header.snapshotsOffset)]);
  }

  #patch(at: number, values: readonly number[]): void {
    const view = new DataView(new ArrayBuffer(values.length * 4));
    for (const [i, value] of values.entries()) view.setUint32(i * 4, value);
    this.store.write(at, new Uint8Array(view.buffer));
  }
}

function words(value: number): [number, number] {
  return [Math.floor(value / TWO_32), value % TWO_32];
}
