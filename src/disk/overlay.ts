import { CrosvmError } from '../errors.ts';
import type { Disk } from './disk.ts';
import type { DiskWorld } from './open-disk.ts';
import { createQcow2 } from './qcow2/create.ts';
import { prepareForWriting, readHeader } from './qcow2/open.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';

/**
 * A disk that reads as `base`, which is only read, and keeps what is written to it elsewhere: in the qcow2 image at
 * `path`, which is made if there is none and goes on from where it was otherwise; or, without a path, in a file that is
 * gone when the disk is closed. Closing it closes `base` too. What the image says of a backing file does not count: the
 * user named both.
 */
export function openOverlay(world: DiskWorld, base: Disk, path: string | undefined): Disk {
  const store = world.files.openOrCreate(path);
  try {
    // The image can be used alone only if its backing file can be found: whoever wants that names it with qemu-img rebase.
    if (store.size === 0) createQcow2(store, { size: base.size });
    const header = readHeader(store);
    if (header.size < base.size) {
      throw new CrosvmError(
        'E_DISK_OVERLAY',
        `${store.name}: it has ${header.size} bytes, and what it lies over ${base.size}`,
      );
    }
    if (header.dataFile !== undefined) throw new CrosvmError('E_DISK_OVERLAY', `${store.name}: it has a data file`);
    prepareForWriting(store, header);
    return new Qcow2Disk(store, header, { codec: world.codec, backing: base });
  } catch (error) {
    store.close();
    throw error;
  }
}
