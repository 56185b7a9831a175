import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';
import { checkWritable, type Disk, type DiskFormat, type Extent } from './disk.ts';

/** A disk of a format that is only read. */
export abstract class ReadOnlyDisk implements Disk {
  abstract readonly format: DiskFormat;
  abstract readonly size: number;
  readonly writable = false;
  protected readonly store: ByteStore;

  constructor(store: ByteStore) {
    this.store = store;
  }

  abstract read(offset: number, list: ScatterList): void;
  abstract locate(offset: number, length: number, extent: Extent): void;

  write(): void {
    checkWritable(this.store.name, false);
  }

  flush(): void {}

  discard(): void {
    checkWritable(this.store.name, false);
  }

  writeZeroes(): void {
    checkWritable(this.store.name, false);
  }

  /** What they store is not what they hold, but for parts. */
  placeOf(): boolean {
    return false;
  }

  storeToFlush(): undefined {}

  resize(): void {
    throw new CrosvmError('E_DISK_RESIZE', `${this.store.name}: an image of format ${this.format} keeps its size`);
  }

  close(): void {
    this.store.close();
  }
}
