import { hostDiskFiles } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import type { BlockSpec, DiskRequest, OpenFile } from './device-spec.ts';

/** The files of a disk, open until it is disposed of. */
export interface OpenDiskFiles extends Disposable {
  readonly spec: BlockSpec;
}

/**
 * Opens the image, and what is written beside it: `temporary`, or a file that is made if it is not there, unless it is only
 * read. Nothing is read of either. Throws `E_FILE_OPEN`, `E_DISK_LOCKED`: also while requests of a process that has ended
 * are still being carried out.
 */
export function openDiskFiles(request: DiskRequest, temporary?: HostFile): OpenDiskFiles {
  const { path, overlay, writable, lock, direct } = request;
  using opening = new DisposableStack();
  const access = { writable: writable && overlay === undefined, lock, direct, regular: false };
  const { store, path: realPath } = hostDiskFiles.open(path, access);
  const image = opening.adopt(store as HostFile, (file) => file.close());
  let written: HostFile | undefined;
  if (temporary !== undefined) {
    written = opening.adopt(HostFile.openTemporary(temporary.fd), (opened) => opened.close());
  } else if (overlay?.kind === 'file') {
    const how = { writable, lock, direct };
    const file = HostFile.open(overlay.path, writable ? { ...how, create: 'if missing' } : how);
    written = opening.adopt(file, (opened) => opened.close());
  }
  const files = opening.move();
  return {
    spec: {
      ...request,
      type: 'block',
      image: { realPath, ...openFile(image) },
      written: written && openFile(written),
    },
    [Symbol.dispose]: () => files.dispose(),
  };
}

function openFile({ descriptors }: HostFile): OpenFile {
  return { descriptors: descriptors.map((fd) => ({ fd })) };
}
