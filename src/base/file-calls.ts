/**
 * System calls on files as file servers make them: names are bytes that end with a zero, at an address, relative to an open
 * folder; a failure is a negative errno, as most are answers for a guest and no failures of ours.
 */
import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { EINTR, errno, libc, pin } from './ffi.ts';
import { addressOfMemory, fillIovecs, IOV_MAX, iovecs, iovecsAddress } from './iovec.ts';
import { systemCall } from './system-call.ts';

/** "The same as before" for an id (chown(2)). */
export const UNCHANGED_ID = -1;
/** struct timespec: "now", and "the same as before" (utimensat(2)). */
export const UTIME_NOW = 0x3fff_ffff;
export const UTIME_OMIT = 0x3fff_fffe;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_FIELDS = 0xfff;

const EOVERFLOW = 75;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_MAGICLINKS = 2;
const RESOLVE_NO_SYMLINKS = 4;
const RESOLVE_BENEATH = 8;
const RESOLVE_IN_ROOT = 0x10;
const SYS_RENAMEAT2 = 316;
const SYS_OPENAT2 = 437;
const SYS_GETDENTS64 = 217;
const SYS_COPY_FILE_RANGE = 326;

/** Memory of ours for system calls: it stays where it is. */
export function callMemory(length: number): HostMemory {
  const bytes = new Uint8Array(length);
  return { bytes, address: pin(bytes) };
}

/** struct statx, as the last `statxAt` or `statxFd` has left it, in words of 32 bits (statx(2)). */
export const statxWords = new Uint32Array(64);
const statxAddress = pin(statxWords);

const cStatx = libc<(fd: number, name: number, flags: number, mask: number, buffer: number) => number>(
  'int statx(int, int64_t, int, uint32_t, int64_t)',
);
const cOpenat = libc<(fd: number, name: number, flags: number, mode: number) => number>(
  'int openat(int, int64_t, int, uint32_t)',
);
const cClose = libc<(fd: number) => number>('int close(int)');
const cMkdirat = libc<(fd: number, name: number, mode: number) => number>('int mkdirat(int, int64_t, uint32_t)');
const cMknodat = libc<(fd: number, name: number, mode: number, device: number) => number>(
  'int mknodat(int, int64_t, uint32_t, uint64_t)',
);
const cSymlinkat = libc<(target: number, fd: number, name: number) => number>('int symlinkat(int64_t, int, int64_t)');
const cLinkat = libc<(from: number, path: number, fd: number, name: number, flags: number) => number>(
  'int linkat(int, int64_t, int, int64_t, int)',
);
const cUnlinkat = libc<(fd: number, name: number, flags: number) => number>('int unlinkat(int, int64_t, int)');
const cReadlinkat = libc<(fd: number, name: number, target: number, size: number) => number>(
  'int64_t readlinkat(int, int64_t, int64_t, uint64_t)',
);
const cFchmodat = libc<(fd: number, path: number, mode: number, flags: number) => number>(
  'int fchmodat(int, int64_t, uint32_t, int)',
);
const cFchownat = libc<(fd: number, name: number, uid: number, gid: number, flags: number) => number>(
  'int fchownat(int, int64_t, int, int, int)',
);
const cUtimensat = libc<(fd: number, path: number, times: number, flags: number) => number>(
  'int utimensat(int, int64_t, int64_t, int)',
);
const cTruncate = libc<(path: number, size: number) => number>('int truncate(int64_t, int64_t)');
const cFtruncate = libc<(fd: number, size: number) => number>('int ftruncate(int, int64_t)');
const cFstatfs = libc<(fd: number, buffer: number) => number>('int fstatfs(int, int64_t)');
const cSyncfs = libc<(fd: number) => number>('int syncfs(int)');
const cFsync = libc<(fd: number) => number>('int fsync(int)');
const cFdatasync = libc<(fd: number) => number>('int fdatasync(int)');
const cFallocate = libc<(fd: number, mode: number, offset: number, length: number) => number>(
  'int fallocate(int, int, int64_t, int64_t)',
);
const cLseek = libc<(fd: number, offset: number | bigint, whence: number) => number | bigint>(
  'int64_t lseek(int, int64_t, int)',
);
const cGetxattr = libc<(path: number, name: number, value: number, size: number) => number>(
  'int64_t getxattr(int64_t, int64_t, int64_t, uint64_t)',
);
const cSetxattr = libc<(path: number, name: number, value: number, size: number, flags: number) => number>(
  'int setxattr(int64_t, int64_t, int64_t, uint64_t, int)',
);
const cListxattr = libc<(path: number, list: number, size: number) => number>(
  'int64_t listxattr(int64_t, int64_t, uint64_t)',
);
const cRemovexattr = libc<(path: number, name: number) => number>('int removexattr(int64_t, int64_t)');
type Transfer = (fd: number, address: number, n: number, offset: number) => number;
const cPread = libc<Transfer>('int64_t pread(int, int64_t, uint64_t, int64_t)');
const cPwrite = libc<Transfer>('int64_t pwrite(int, int64_t, uint64_t, int64_t)');
const cPreadv = libc<Transfer>('int64_t preadv(int, int64_t, int, int64_t)');
const cPwritev = libc<Transfer>('int64_t pwritev(int, int64_t, int, int64_t)');
const cIoctl = libc<(fd: number, request: number, argument: number) => number>('int ioctl(int, uint64_t, int64_t)');
const cFcntl = libc<(fd: number, command: number, argument: number) => number>('int fcntl(int, int, int64_t)');
const cFlock = libc<(fd: number, operation: number) => number>('int flock(int, int)');

function answer(result: number): number {
  return result === -1 ? -errno() : result;
}

/** Fills `statxWords` with what a name of a folder stands for; a symbolic link for itself. */
export function statxAt(folder: number, name: number): number {
  return answer(cStatx(folder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_FIELDS, statxAddress));
}

const empty = callMemory(1).address;

/** Fills `statxWords` with what a descriptor stands for. */
export function statxFd(fd: number): number {
  return answer(cStatx(fd, empty, AT_EMPTY_PATH, STATX_FIELDS, statxAddress));
}

/** struct open_how: flags, mode, resolve; 8 bytes each. */
const how = new Uint32Array(6);
const howAddress = pin(how);
const HOW_SIZE = 24;

/** Opens a path beneath a folder in which nothing leads out of it, nor over a symbolic link (openat2(2)). */
export function openBeneath(folder: number, path: number, flags: number, mode: number): number {
  fillHow(flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  return answer(systemCall(SYS_OPENAT2, folder, path, howAddress, HOW_SIZE, 0, 0));
}

const cOpenat2 = libc<(call: number, folder: number, path: string, how: number, size: number) => number>(
  'int64_t syscall(int64_t, int64_t, const char *, int64_t, int64_t)',
);

/** Opens what a path is to somebody whose root is the folder: symbolic links count, and lead nowhere else. */
export function openInRoot(folder: number, path: string, flags: number): number {
  fillHow(flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  return answer(cOpenat2(SYS_OPENAT2, folder, path, howAddress, HOW_SIZE));
}

function fillHow(flags: number, mode: number, resolve: number): void {
  how[0] = flags | O_CLOEXEC;
  how[2] = mode;
  how[4] = resolve;
}

/** Opens a path with all that it may mean: for those of `DescriptorPaths` only. */
export function openPath(path: number, flags: number): number {
  return answer(cOpenat(AT_FDCWD, path, flags | O_CLOEXEC, 0));
}

export function closeDescriptor(fd: number): void {
  cClose(fd);
}

export function makeDirectoryAt(folder: number, name: number, mode: number): number {
  return answer(cMkdirat(folder, name, mode));
}

/** `major` and `minor` are of a device node. */
export function makeNodeAt(folder: number, name: number, mode: number, major: number, minor: number): number {
  const low = (minor & 0xff) + (major & 0xfff) * 0x100 + (minor >>> 8) * 0x10_0000;
  return answer(cMknodat(folder, name, mode, low + (major >>> 12) * 2 ** 44));
}

export function symlinkAt(target: number, folder: number, name: number): number {
  return answer(cSymlinkat(target, folder, name));
}

/** `path` is one of `DescriptorPaths`. */
export function linkAt(path: number, folder: number, name: number): number {
  return answer(cLinkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW));
}

export function unlinkAt(folder: number, name: number): number {
  return answer(cUnlinkat(folder, name, 0));
}

export function removeDirectoryAt(folder: number, name: number): number {
  return answer(cUnlinkat(folder, name, AT_REMOVEDIR));
}

export function renameAt(from: number, name: number, to: number, newName: number, flags: number): number {
  return answer(systemCall(SYS_RENAMEAT2, from, name, to, newName, flags, 0));
}

/** Of an O_PATH descriptor of a symbolic link. */
export function readLinkOf(fd: number, target: HostMemory): number {
  return answer(cReadlinkat(fd, empty, addressOfMemory(target), target.bytes.length));
}

/** `path` is one of `DescriptorPaths`. */
export function changeMode(path: number, mode: number): number {
  return answer(cFchmodat(AT_FDCWD, path, mode, 0));
}

/** -1 leaves an id as it is. */
export function changeOwner(fd: number, uid: number, gid: number): number {
  return answer(cFchownat(fd, empty, uid | 0, gid | 0, AT_EMPTY_PATH));
}

/** Two structs timespec, 8 bytes each for seconds and nanoseconds. */
const times = new BigInt64Array(4);
const timesAddress = pin(times);

/** Nanoseconds may be UTIME_NOW or UTIME_OMIT. `path` is one of `DescriptorPaths`. */
export function changeTimes(path: number, atime: number, atimeNs: number, mtime: number, mtimeNs: number): number {
  times[0] = BigInt(atime);
  times[1] = BigInt(atimeNs);
  times[2] = BigInt(mtime);
  times[3] = BigInt(mtimeNs);
  return answer(cUtimensat(AT_FDCWD, path, timesAddress, 0));
}

/** `path` is one of `DescriptorPaths`. */
export function truncatePath(path: number, size: number): number {
  return answer(cTruncate(path, size));
}

export function truncateFd(fd: number, size: number): number {
  return answer(cFtruncate(fd, size));
}

/** struct statfs, as the last `statisticsOf` has left it: f_type, f_bsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, ... */
export const statfsWords = new BigUint64Array(15);
const statfsAddress = pin(statfsWords);

export function statisticsOf(fd: number): number {
  return answer(cFstatfs(fd, statfsAddress));
}

/** The type (f_type) of the file system that a descriptor is of, or a negative errno. */
export function fileSystemType(fd: number): number {
  const result = statisticsOf(fd);
  return result < 0 ? result : Number(statfsWords[0]! & 0xffff_ffffn);
}

export function syncFileSystemOf(fd: number): number {
  return answer(cSyncfs(fd));
}

export function syncFd(fd: number, dataOnly: boolean): number {
  return answer(dataOnly ? cFdatasync(fd) : cFsync(fd));
}

export function allocateRange(fd: number, mode: number, offset: number, length: number): number {
  return answer(cFallocate(fd, mode, offset, length));
}

/** -EOVERFLOW where a number cannot say the offset: the end of a folder is at 2^63 - 1 on some file systems. */
export function seekTo(fd: number, offset: number, whence: number): number {
  const result = cLseek(fd, offset, whence);
  return typeof result === 'bigint' ? -EOVERFLOW : answer(result);
}

/** SEEK_SET to a cookie of a folder, which may use all of 64 bits. */
export function seekToCookie(fd: number, low: number, high: number): number {
  if (high < 0x20_0000) return seekTo(fd, low + high * 0x1_0000_0000, 0);
  const result = cLseek(fd, BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)), 0);
  return result === -1 || result === -1n ? -errno() : 0;
}

/** Fills `target` with structs linux_dirent64 (getdents64(2)); returns how many bytes, 0 at the end. */
export function readEntries(fd: number, target: HostMemory): number {
  return answer(systemCall(SYS_GETDENTS64, fd, addressOfMemory(target), target.bytes.length, 0, 0, 0));
}

/** Two 64-bit offsets that the kernel reads and moves on. */
const offsetWords = new Uint32Array(4);
const offsetsAddress = pin(offsetWords);

export function copyBetween(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
  offsetWords[0] = fromOffset;
  offsetWords[1] = fromOffset / 0x1_0000_0000;
  offsetWords[2] = toOffset;
  offsetWords[3] = toOffset / 0x1_0000_0000;
  return answer(systemCall(SYS_COPY_FILE_RANGE, from, offsetsAddress, to, offsetsAddress + 8, length, 0));
}

// Extended attributes; `path` is one of `DescriptorPaths`, `name` ends with a zero.
export function getAttribute(path: number, name: number, value: number, size: number): number {
  return answer(cGetxattr(path, name, value, size));
}

export function setAttribute(path: number, name: number, value: number, size: number, flags: number): number {
  return answer(cSetxattr(path, name, value, size, flags));
}

export function listAttributes(path: number, list: number, size: number): number {
  return answer(cListxattr(path, list, size));
}

export function removeAttribute(path: number, name: number): number {
  return answer(cRemovexattr(path, name));
}

/** preadv(2) to all pieces of a list, until the file ends. */
export function readList(fd: number, offset: number, list: ScatterList): number {
  return transfer(cPread, cPreadv, fd, offset, list);
}

/** pwritev(2) of all pieces of a list. */
export function writeList(fd: number, offset: number, list: ScatterList): number {
  return transfer(cPwrite, cPwritev, fd, offset, list);
}

/** What was done before an error counts, as it does for the system calls. */
function transfer(one: Transfer, many: Transfer, fd: number, offset: number, list: ScatterList): number {
  for (let done = 0, piece = 0, skip = 0; ; ) {
    if (done === list.length) return done;
    let n: number;
    if (list.count - piece === 1) {
      const at = addressOfMemory(list.memories[piece]!) + list.starts[piece]! + skip;
      n = one(fd, at, list.lengths[piece]! - skip, offset + done);
    } else {
      const count = fillIovecs(iovecs, 0, list, piece, skip, list.length - done, IOV_MAX);
      n = many(fd, iovecsAddress, count, offset + done);
    }
    if (n === -1) {
      const reason = errno();
      if (reason === EINTR) continue;
      return done > 0 ? done : -reason;
    }
    if (n === 0) return done;
    done += n;
    for (n += skip, skip = 0; piece < list.count; piece++) {
      const size = list.lengths[piece]!;
      if (n < size) {
        skip = n;
        break;
      }
      n -= size;
    }
  }
}

export function controlFd(fd: number, request: number, argument: HostMemory): number {
  return answer(cIoctl(fd, request, addressOfMemory(argument)));
}

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
/** struct flock: i16 type, i16 whence, i64 start, i64 length, i32 pid. */
export const flockWords = new DataView(new ArrayBuffer(32));
const flockAddress = pin(flockWords);

/** Sets (or, with `test`, looks for) the lock that `flockWords` describes, for the open file; never waits. */
export function recordLock(fd: number, test: boolean): number {
  return answer(cFcntl(fd, test ? F_OFD_GETLK : F_OFD_SETLK, flockAddress));
}

/** flock(2). */
export function wholeFileLock(fd: number, operation: number): number {
  return answer(cFlock(fd, operation));
}
