import { fstatSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { DiskFiles } from '../disk/disk-files.ts';
import { HostFile } from './host-file.ts';

/** The host's files, for images. */
export const hostDiskFiles: DiskFiles = {
  open(path, { writable, lock, direct, regular }) {
    const file = HostFile.open(path, { writable, lock, direct, blockDevice: !regular });
    return { store: file, path: readlinkSync(`/proc/self/fd/${file.fd}`), identity: identityOf(file.fd) };
  },
  resolve: (image, name) => resolve(dirname(image), name),
  isBeside(image, path) {
    const folder = dirname(image);
    return path.startsWith(folder === '/' ? '/' : `${folder}/`);
  },
};

/** The same for the same file, by whatever name it was opened. */
export function identityOf(fd: number): string {
  const stat = fstatSync(fd, { bigint: true });
  return stat.isFile() ? `${stat.dev}:${stat.ino}` : `device ${stat.rdev}`;
}
