import { fstatSync } from 'node:fs';
import { close, open } from './fd.ts';
import { openInRoot } from './file-calls.ts';
import { type KernelFile, openKernelFile } from './kernel-file.ts';
import { notAFile, openError } from './open-error.ts';
import { SystemError } from './system-error.ts';

const O_DIRECTORY = 0o200000;
const O_PATH = 0o10000000;

/** Files of a folder, as somebody sees them whose root it is: whatever is in it, nothing outside of it is opened. */
export class RootedFolder implements Disposable {
  readonly #path: string;
  readonly #fd: number;

  /** Throws `E_FILE_OPEN`. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = open(path, O_PATH | O_DIRECTORY);
    } catch (error) {
      throw openError(path, (error as SystemError).errno, error);
    }
  }

  /** What messages call a file. */
  nameOf(path: string): string {
    return `${this.#path.replace(/\/+$/, '')}/${path}`;
  }

  /** Opens a regular file; undefined if there is none of that name. Throws `E_FILE_OPEN`. */
  open(path: string): KernelFile | undefined {
    const name = this.nameOf(path);
    const fd = openInRoot(this.#fd, path, O_PATH);
    if (fd < 0) return noFile(name, -fd);
    try {
      // Only then it is opened in earnest: to open a device can have effects.
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw notAFile(name, stat.isDirectory());
      return openKernelFile(`/proc/self/fd/${fd}`, name);
    } finally {
      close(fd);
    }
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

function noFile(name: string, errno: number): undefined {
  const error = new SystemError('openat2', errno);
  if (error.errno === 'ENOENT' || error.errno === 'ENOTDIR') return undefined;
  throw openError(name, error.errno, error);
}
