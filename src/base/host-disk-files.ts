import { fstatSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { DiskFiles } from '../disk/disk-files.ts';
import { CrosvmError } from '../errors.ts';
import { HostFile } from './host-file.ts';
import { SystemError } from './system-error.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'you may not open it',
  EROFS: 'it is on a file system that may only be read',
  ENOTDIR: 'part of the path is not a folder',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
};

/** The host's files, for images. */
export const hostDiskFiles: DiskFiles = {
  open(path, { writable, lock, direct, regular }) {
    const file = openFile(path, { writable, lock, direct });
    const stat = fstatSync(file.fd, { bigint: true });
    if (!stat.isFile() && (regular || !stat.isBlockDevice())) {
      file.close();
      throw new CrosvmError('E_FILE_OPEN', `${path}: is ${stat.isDirectory() ? 'a folder' : 'not a regular file'}`);
    }
    return {
      store: file,
      path: readlinkSync(`/proc/self/fd/${file.fd}`),
      identity: stat.isFile() ? `${stat.dev}:${stat.ino}` : `device ${stat.rdev}`,
    };
  },
  resolve: (image, name) => resolve(dirname(image), name),
  isBeside(image, path) {
    const folder = dirname(image);
    return path.startsWith(folder === '/' ? '/' : `${folder}/`);
  },
};

function openFile(path: string, options: { writable: boolean; lock: boolean; direct: boolean }): HostFile {
  try {
    return HostFile.open(path, options);
  } catch (error) {
    const reason = error instanceof SystemError && error.call === 'open' ? REASONS[error.errno] : undefined;
    if (reason === undefined) throw error;
    throw new CrosvmError('E_FILE_OPEN', `${path}: cannot be opened: ${reason}`, { cause: error });
  }
}
