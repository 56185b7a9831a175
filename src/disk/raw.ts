import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';
import { checkRange, checkWritable, type Disk, type Extent, type Place } from './disk.ts';
import { formatOf, PROBE_LENGTH } from './probe.ts';

/** An image without a format: byte n of the disk is byte n of the store. */
export class RawDisk implements Disk {
  readonly format = 'raw';
  readonly writable: boolean;
  readonly #store: ByteStore;
  /** Nobody said that it is raw: it only looked like that. */
  readonly #probed: boolean;
  readonly #head = new Uint8Array(PROBE_LENGTH);
  #size: number;

  constructor(store: ByteStore, probed = false) {
    this.#store = store;
    this.#probed = probed;
    this.#size = store.size;
    this.writable = store.writable;
  }

  get size(): number {
    return this.#size;
  }

  read(offset: number, list: ScatterList): void {
    checkRange(this.#store.name, this.#size, offset, list.length);
    this.#store.readList(offset, list);
  }

  write(offset: number, list: ScatterList): void {
    this.#checkWrite(offset, list.length);
    if (this.#probed && offset < PROBE_LENGTH) this.#checkHead(offset, list);
    this.#store.writeList(offset, list);
  }

  flush(): void {
    if (this.writable) this.#store.flush();
  }

  discard(offset: number, length: number): void {
    this.#checkWrite(offset, length);
    this.#store.punchHole(offset, length);
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): void {
    this.#checkWrite(offset, length);
    if (mayUnmap) this.#store.punchHole(offset, length);
    else this.#store.zeroRange(offset, length);
  }

  resize(size: number): void {
    checkWritable(this.#store.name, this.writable);
    if (!this.#store.growsWithZeroes) {
      throw new CrosvmError('E_DISK_RESIZE', `${this.#store.name}: a block device keeps its size`);
    }
    this.#store.resize(size);
    this.#size = size;
  }

  locate(offset: number, length: number, extent: Extent): void {
    checkRange(this.#store.name, this.#size, offset, length);
    extent.depth = 0;
    extent.allocated = true;
    extent.store = this.#store;
    extent.offset = offset;
    const data = Math.min(this.#store.nextData(offset), offset + length);
    extent.kind = data > offset ? 'zero' : 'data';
    const end = data > offset ? data : Math.min(this.#store.nextHole(offset), offset + length);
    extent.length = end - offset;
  }

  placeOf(write: boolean, offset: number, length: number, place: Place): boolean {
    if (length > this.#size - offset) return false;
    if (write && (!this.writable || (this.#probed && offset < PROBE_LENGTH))) return false;
    place.store = this.#store;
    place.offset = offset;
    return true;
  }

  storeToFlush(): ByteStore | undefined {
    return this.writable ? this.#store : undefined;
  }

  close(): void {
    this.#store.close();
  }

  /**
   * A guest that makes its disk look like another format would have that format's files opened at the next start: with
   * a backing file of its choice. So who guesses formats must not let the guess change.
   */
  #checkHead(offset: number, list: ScatterList): void {
    this.#store.read(0, this.#head);
    list.copyTo(this.#head.subarray(offset));
    if (formatOf(String.fromCharCode(...this.#head)) === 'raw') return;
    throw new CrosvmError(
      'E_DISK_PROBED',
      `${this.#store.name}: the guest may not write the mark of another format to a disk whose format was guessed; say format=raw`,
    );
  }

  #checkWrite(offset: number, length: number): void {
    checkWritable(this.#store.name, this.writable);
    checkRange(this.#store.name, this.#size, offset, length);
  }
}
