import { CrosvmError } from '../../errors.ts';
import type { FileWindow } from '../../fuse/file-window.ts';
import { EINVAL, ENOSPC } from '../../host-folder/errno.ts';
import type { DeviceHost } from '../device.ts';

/** Shared memory 0 of a file system device (VIRTIO 1.3, 5.11.5). */
const VIRTIO_FS_SHMCAP_ID_CACHE = 0;

/** The device's shared memory as the file server sees it. */
export class DaxWindow implements FileWindow {
  /** The device's, once it has one. */
  host: DeviceHost | undefined;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  get size(): number {
    return this.host?.hasSharedMemory === true ? this.#size : 0;
  }

  map(fd: number, fdOffset: number, offset: number, length: number, writable: boolean): number {
    const piece = { id: VIRTIO_FS_SHMCAP_ID_CACHE, offset, length, fd, fdOffset, writable };
    if (isDone(() => this.host!.mapShared(piece))) return 0;
    // A front end that lets nothing take the place of what is mapped; or there is too much.
    this.unmap(offset, length);
    return isDone(() => this.host!.mapShared(piece)) ? 0 : -ENOSPC;
  }

  unmap(offset: number, length: number): number {
    const range = { id: VIRTIO_FS_SHMCAP_ID_CACHE, offset, length };
    return isDone(() => this.host!.unmapShared(range)) ? 0 : -EINVAL;
  }
}

/** A front end that is gone ends the device by itself. */
function isDone(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof CrosvmError) return false;
    throw error;
  }
}
