import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { fileChanged, type KernelSource } from '../loader/kernel-source.ts';
import { notAFile, openError } from './open-error.ts';

/** A `KernelSource` over a file that is open until `close`. */
export interface KernelFile extends KernelSource, Disposable {
  close(): void;
}

/**
 * Opens a kernel, initrd or ROM for loading; throws `E_FILE_OPEN` unless it is a readable regular file. `name` is what
 * messages call it.
 */
export function openKernelFile(path: string, name = path): KernelFile {
  const fd = openRegular(path, name);
  const { size } = fstatSync(fd);
  return {
    name,
    size,
    readAt(offset, length) {
      const bytes = new Uint8Array(length);
      readExactly(fd, name, offset, bytes);
      return bytes;
    },
    readInto: (offset, target) => readExactly(fd, name, offset, target),
    close: () => closeSync(fd),
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** O_NONBLOCK, as opening a FIFO would otherwise wait for a writer. */
function openRegular(path: string, name: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw openError(name, code, cause);
  }
  const stat = fstatSync(fd);
  if (stat.isFile()) return fd;
  closeSync(fd);
  throw notAFile(name, stat.isDirectory());
}

function readExactly(fd: number, path: string, offset: number, target: Uint8Array): void {
  for (let done = 0; done < target.length; ) {
    const n = readSync(fd, target, done, target.length - done, offset + done);
    if (n === 0) throw fileChanged(path);
    done += n;
  }
}
