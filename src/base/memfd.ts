import { close } from './fd.ts';
import { check, libc } from './ffi.ts';

const cMemfdCreate = libc<(name: string, flags: number) => number>('int memfd_create(const char *, unsigned int)');
const cFtruncate = libc<(fd: number, length: number) => number>('int ftruncate(int, int64_t)');
const cFcntl = libc<(fd: number, command: number, argument: number) => number>('int fcntl(int, int, int64_t)');

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;

export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;

/**
 * A file that lives in memory, of `size` zero bytes. Its size is sealed, so that no process that it is handed to can
 * shrink it under a mapping (which would kill whoever touches the missing pages). `name` shows in /proc.
 */
export function createMemfd(name: string, size: number): number {
  const fd = check(cMemfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create', name);
  try {
    check(cFtruncate(fd, size), 'ftruncate', `${name} of ${size} bytes`);
    addSeals(fd, F_SEAL_SHRINK | F_SEAL_GROW);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Adds F_SEAL_ flags; they can never be taken away. */
export function addSeals(fd: number, seals: number): void {
  check(cFcntl(fd, F_ADD_SEALS, seals), 'fcntl(F_ADD_SEALS)');
}

export function getSeals(fd: number): number {
  return check(cFcntl(fd, F_GET_SEALS, 0), 'fcntl(F_GET_SEALS)');
}
