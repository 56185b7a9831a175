import { CrosvmError } from '../../errors.ts';
import type { ByteStore } from '../byte-store.ts';
import type { DiskFiles, OpenedFile } from '../disk-files.ts';

/** Files in memory. A path is what a store is called. */
export class MemoryFiles implements DiskFiles {
  readonly stores = new Map<string, ByteStore>();

  add(store: ByteStore): this {
    this.stores.set(store.name, store);
    return this;
  }

  open(path: string): OpenedFile {
    const store = this.stores.get(path);
    if (store === undefined) throw new CrosvmError('E_FILE_OPEN', `${path}: cannot be opened: there is no such file`);
    return { store, path, identity: path };
  }

  resolve(image: string, name: string): string {
    return new URL(name, `file://${image}`).pathname;
  }

  isBeside(image: string, path: string): boolean {
    return path.startsWith(image.slice(0, image.lastIndexOf('/') + 1));
  }
}
