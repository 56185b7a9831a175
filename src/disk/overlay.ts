import { CrosvmError } from '../errors.ts';
import type { ByteStore } from './byte-store.ts';
import type { Codec } from './codec.ts';
import type { Disk } from './disk.ts';
import { createQcow2 } from './qcow2/create.ts';
import { prepareForWriting, readHeader } from './qcow2/open.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import type { TableLog } from './qcow2/table-log.ts';

/**
 * A disk that reads as `base`, which is only read, and keeps what is written to it elsewhere: in the qcow2 image in
 * `store`, which is made if the store is empty and goes on from where it was otherwise. A new image names its backing
 * file `basePath`, so that it is of use alone. What an image says of its backing file does not count here: the user named
 * both. The disk is as large as the image says: it may have been resized. Closing it closes both. `log` keeps what is not in its tables yet. Throws `E_DISK_OVERLAY` for an image that cannot be an overlay; both stay open then.
 */
export function openOverlay(codec: Codec, base: Disk, store: ByteStore, basePath?: string, log?: TableLog): Disk {
  if (store.size === 0 && store.writable) {
    const backing = basePath === undefined ? {} : { backingFile: basePath, backingFormat: base.format };
    createQcow2(store, { size: base.size, ...backing });
  }
  const header = readHeader(store);
  if (header.dataFile !== undefined) throw new CrosvmError('E_DISK_OVERLAY', `${store.name}: it has a data file`);
  if (store.writable) prepareForWriting(store, header, log);
  return new Qcow2Disk(store, header, { codec, backing: base, log });
}
