/** Raw file descriptors: numbers that live until `close`. All are opened close-on-exec. */
import { fstatSync } from 'node:fs';
import { check, EAGAIN, EINTR, errno, libc } from './ffi.ts';
import { SystemError } from './system-error.ts';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const F_GETPIPE_SZ = 1032;
const FD_CLOEXEC = 1;

const cOpen = libc<(path: string, flags: number, mode: number) => number>('int open(const char *, int, int)');
const cPipe2 = libc<(ends: Int32Array, flags: number) => number>('int pipe2(void *, int)');
const cClose = libc<(fd: number) => number>('int close(int)');
const cDup3 = libc<(from: number, to: number, flags: number) => number>('int dup3(int, int, int)');
const cRead = libc<(fd: number, bytes: Uint8Array, n: number) => number>('int64_t read(int, void *, int64_t)');
const cWrite = libc<(fd: number, bytes: Uint8Array, n: number) => number>('int64_t write(int, const void *, int64_t)');
const cPread = libc<(fd: number, bytes: Uint8Array, n: number, offset: number) => number>(
  'int64_t pread(int, void *, int64_t, int64_t)',
);
const cPwrite = libc<(fd: number, bytes: Uint8Array, n: number, offset: number) => number>(
  'int64_t pwrite(int, const void *, int64_t, int64_t)',
);
const cFdatasync = libc<(fd: number) => number>('int fdatasync(int)');
const cFcntl = libc<(fd: number, command: number, argument: number) => number>('int fcntl(int, int, int64_t)');

/**
 * ioctl(2) itself, for hot paths: -1 with the reason in `errno()`. `request` is the unsigned request code, `argument`
 * a number or an address.
 */
export const rawIoctl = libc<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int, uint64_t, int64_t)',
);

/** Opens a file. `mode` is for files that O_CREAT makes. Throws `SystemError` that names the path. */
export function open(path: string, flags: number, mode = 0o666): number {
  return check(cOpen(path, flags | O_CLOEXEC, mode), 'open', path);
}

export function close(fd: number): void {
  check(cClose(fd), 'close');
}

/** A new pipe: the end to read from, and the one to write to. */
export function pipe(): [reader: number, writer: number] {
  const ends = new Int32Array(2);
  check(cPipe2(ends, O_CLOEXEC), 'pipe2');
  return [ends[0]!, ends[1]!];
}

/** Whether this is an end of a pipe. */
export function isPipe(fd: number): boolean {
  return cFcntl(fd, F_GETPIPE_SZ, 0) !== -1;
}

/**
 * The same end of a pipe once more, with flags of its own: whoever else has `fd` cannot make this one block. `flags` are
 * O_RDONLY or O_WRONLY, and O_NONBLOCK. Throws `SystemError`.
 */
export function reopenPipe(fd: number, flags: number): number {
  return open(`/proc/self/fd/${fd}`, flags);
}

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) close(fd);
}

/** Makes what was written to a file durable, also through mappings. Throws `SystemError`, which names `what`. */
export function fdatasync(fd: number, what?: string): void {
  check(cFdatasync(fd), 'fdatasync', what);
}

/** Bytes in a regular file or a memfd; 0 for what has no size. */
export function fileSize(fd: number): number {
  return fstatSync(fd).size;
}

/** A second descriptor of the same open file. */
export function dup(fd: number): number {
  return check(cFcntl(fd, F_DUPFD_CLOEXEC, 0), 'dup');
}

/** Makes `fd` another descriptor of what `source` is; what it was before is closed. No thread sees it closed meanwhile. */
export function replaceFd(fd: number, source: number): void {
  check(cDup3(source, fd, O_CLOEXEC), 'dup3');
}

/** Reads up to `bytes.length`; 0 at the end of the file, -1 when the descriptor is non-blocking and has nothing. */
export function read(fd: number, bytes: Uint8Array): number {
  for (;;) {
    const n = cRead(fd, bytes, bytes.length);
    if (n !== -1 || !mustRetry('read')) return n;
  }
}

/** Writes up to `bytes.length`; returns how many were taken, -1 when the descriptor is non-blocking and full. */
export function write(fd: number, bytes: Uint8Array): number {
  for (;;) {
    const n = cWrite(fd, bytes, bytes.length);
    if (n !== -1 || !mustRetry('write')) return n;
  }
}

/** Writes all of `bytes` to a blocking descriptor. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const n = write(fd, done === 0 ? bytes : bytes.subarray(done));
    if (n === -1) throw new SystemError('write', EAGAIN);
    done += n;
  }
}

/** Like `read`, at a byte offset of the file. */
export function pread(fd: number, bytes: Uint8Array, offset: number): number {
  for (;;) {
    const n = cPread(fd, bytes, bytes.length, offset);
    if (n !== -1 || !mustRetry('pread')) return n;
  }
}

/** Like `write`, at a byte offset of the file. */
export function pwrite(fd: number, bytes: Uint8Array, offset: number): number {
  for (;;) {
    const n = cPwrite(fd, bytes, bytes.length, offset);
    if (n !== -1 || !mustRetry('pwrite')) return n;
  }
}

/** ioctl(2) that throws; `name` is the request's name for the message, such as `KVM_CREATE_VM`. */
export function ioctl(fd: number, request: number, argument: number, name: string): number {
  const result = rawIoctl(fd, request, argument);
  if (result === -1) throw new SystemError(`ioctl(${name})`, errno());
  return result;
}

export function setNonBlocking(fd: number, on: boolean): void {
  const flags = check(cFcntl(fd, F_GETFL, 0), 'fcntl(F_GETFL)');
  check(cFcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 'fcntl(F_SETFL)');
}

/** Whether a program started by execve loses the descriptor. */
export function setCloseOnExec(fd: number, on: boolean): void {
  check(cFcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0), 'fcntl(F_SETFD)');
}

/** After a call returned -1: true to call again, false for "would block"; any other reason is thrown. */
function mustRetry(call: string): boolean {
  const reason = errno();
  if (reason === EINTR) return true;
  if (reason === EAGAIN) return false;
  throw new SystemError(call, reason);
}
