import type { ScatterList } from '../../memory/scatter-list.ts';
import type { ByteStore } from '../byte-store.ts';
import { checkRange, checkWritable, type Disk, type Extent, type Place } from '../disk.ts';
import { ClusterEraser } from './cluster-eraser.ts';
import { ClusterReader } from './cluster-reader.ts';
import { ClusterWriter } from './cluster-writer.ts';
import type { Header } from './header.ts';
import { COMPRESSED, DATA, UNALLOCATED } from './l2-entry.ts';
import { loadParts, type Parts, type PartsOptions } from './parts.ts';
import { resizeImage } from './resize.ts';

/** A qcow2 image. */
export class Qcow2Disk implements Disk {
  readonly format = 'qcow2';
  readonly parts: Parts;
  readonly #reader: ClusterReader;
  readonly #writer: ClusterWriter;
  readonly #eraser: ClusterEraser;

  /** `header` is that of the image in `store`. Whether the image may be written as it is, is the opener's to check. */
  constructor(store: ByteStore, header: Header, options: PartsOptions) {
    this.parts = loadParts(store, header, options);
    this.#reader = new ClusterReader(this.parts);
    this.#writer = new ClusterWriter(this.parts, this.#reader);
    this.#eraser = new ClusterEraser(this.parts, this.#reader, this.#writer);
  }

  get size(): number {
    return this.parts.image.header.size;
  }

  get writable(): boolean {
    return this.parts.image.writable;
  }

  read(offset: number, list: ScatterList): void {
    checkRange(this.parts.image.name, this.size, offset, list.length);
    this.#reader.read(offset, list);
  }

  write(offset: number, list: ScatterList): void {
    this.#checkWrite(offset, list.length);
    try {
      this.#writer.write(offset, list);
    } finally {
      this.parts.writeBack.commit();
    }
  }

  flush(): void {
    if (!this.writable) return;
    this.parts.writeBack.flush();
    this.parts.writeBack.commit();
  }

  discard(offset: number, length: number): void {
    this.#checkWrite(offset, length);
    try {
      this.#eraser.discard(offset, length);
    } finally {
      this.parts.writeBack.commit();
    }
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): void {
    this.#checkWrite(offset, length);
    try {
      this.#eraser.writeZeroes(offset, length, mayUnmap);
    } finally {
      this.parts.writeBack.commit();
    }
  }

  resize(size: number): void {
    checkWritable(this.parts.image.name, this.writable);
    try {
      resizeImage(this.parts, size, (at, length) => this.#eraser.writeZeroes(at, length, true));
    } finally {
      this.parts.writeBack.commit();
    }
  }

  locate(offset: number, length: number, extent: Extent): void {
    checkRange(this.parts.image.name, this.size, offset, length);
    const { mapping, backing, data } = this.parts;
    mapping.find(offset, length);
    extent.depth = 0;
    extent.allocated = true;
    extent.length = mapping.length;
    extent.store = undefined;
    if (mapping.kind === DATA) {
      extent.kind = 'data';
      extent.store = data;
      extent.offset = mapping.host;
    } else if (mapping.kind === COMPRESSED) extent.kind = 'compressed';
    else if (mapping.kind !== UNALLOCATED || backing === undefined || offset >= backing.size) {
      extent.kind = 'zero';
      extent.allocated = mapping.kind !== UNALLOCATED;
    } else {
      backing.locate(offset, Math.min(extent.length, backing.size - offset), extent);
      extent.depth++;
    }
  }

  placeOf(write: boolean, offset: number, length: number, place: Place): boolean {
    if (length > this.size - offset) return false;
    const { mapping, backing, data } = this.parts;
    mapping.find(offset, length);
    if (mapping.length < length) return false;
    if (mapping.kind === UNALLOCATED) return !write && backing?.placeOf(false, offset, length, place) === true;
    if (mapping.kind !== DATA) return false;
    const { host, copied } = mapping;
    if (write && !(copied && this.writable && this.#writer.problemWith(host, length) === undefined)) return false;
    place.store = data;
    place.offset = host;
    return true;
  }

  storeToFlush(): ByteStore | undefined {
    const { writeBack, image, data } = this.parts;
    return this.writable && !writeBack.isNeeded && data === image.store ? data : undefined;
  }

  close(): void {
    const { image, data, backing } = this.parts;
    try {
      this.finish();
    } finally {
      image.store.close();
      if (data !== image.store) data.close();
      backing?.close();
    }
  }

  /** Writes what is pending, and leaves the files open. */
  finish(): void {
    if (!this.writable) return;
    this.parts.writeBack.flush();
    this.parts.writeBack.writeTables(); // counts that went down since
  }

  /**
   * Writes a whole cluster that is not in the image yet, compressed as the image says: `packed` comes from the codec.
   * False if that would not be shorter. For filling a new image.
   */
  writeCompressed(offset: number, packed: Uint8Array): boolean {
    this.#checkWrite(offset, 0);
    return this.#writer.writeCompressed(offset, packed);
  }

  #checkWrite(offset: number, length: number): void {
    checkWritable(this.parts.image.name, this.writable);
    checkRange(this.parts.image.name, this.size, offset, length);
  }
}
