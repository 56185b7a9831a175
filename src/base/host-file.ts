import { existsSync, fstatSync, statSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import type { ByteStore } from '../disk/byte-store.ts';
import { CrosvmError } from '../errors.ts';
import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { close, fdatasync, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, open } from './fd.ts';
import { addressOf, check, EINTR, errno, libc } from './ffi.ts';
import { addressOfMemory, areAligned, fillIovecs, IOV_MAX, iovecs, iovecsAddress, isAligned } from './iovec.ts';
import { notAFile, openError } from './open-error.ts';
import { SystemError } from './system-error.ts';

const O_DIRECT = 0o40000;
const O_TMPFILE = 0o20200000;

const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;

const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
const EAGAIN = 11;
const ENODEV = 19;
const EINVAL = 22;
const EOPNOTSUPP = 95;

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 0x10;

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

type Transfer = (fd: number, address: number, n: number, offset: number) => number;
const cPread = libc<Transfer>('int64_t pread(int, int64_t, int64_t, int64_t)');
const cPwrite = libc<Transfer>('int64_t pwrite(int, int64_t, int64_t, int64_t)');
const cPreadv = libc<Transfer>('int64_t preadv(int, int64_t, int, int64_t)');
const cPwritev = libc<Transfer>('int64_t pwritev(int, int64_t, int, int64_t)');
const cFallocate = libc<(fd: number, mode: number, offset: number, length: number) => number>(
  'int fallocate(int, int, int64_t, int64_t)',
);
const cFtruncate = libc<(fd: number, size: number) => number>('int ftruncate(int, int64_t)');
const cLseek = libc<(fd: number, offset: number, whence: number) => number>('int64_t lseek(int, int64_t, int)');
const cLinkat = libc<(fromFolder: number, from: string, toFolder: number, to: string, flags: number) => number>(
  'int linkat(int, const char *, int, const char *, int)',
);
const cFlock = libc<(fd: number, operation: number) => number>('int flock(int, int)');

const ZEROES: HostMemory = { bytes: new Uint8Array(65536), address: 0 };

export interface HostFileOptions {
  readonly writable?: boolean;
  /** Requests whose offset, length and memory are aligned go past the page cache (O_DIRECT). */
  readonly direct?: boolean;
  /** A block device will do as well as a regular file. */
  readonly blockDevice?: boolean;
  /** Makes the file: a new one, or one if there is none. */
  readonly create?: 'new' | 'if missing';
  /** What is written need not survive a power cut: `flush` does nothing. */
  readonly unsafe?: boolean;
  /** Keeps others away (flock): shared for reading, exclusive for writing. Throws `E_DISK_LOCKED`. */
  readonly lock?: boolean;
}

/** Bytes `start` to `end` - 1 of a file are data, or a hole. */
class FileExtent {
  readonly start: number;
  readonly end: number;
  readonly isData: boolean;

  constructor(start: number, end: number, isData: boolean) {
    this.start = start;
    this.end = end;
    this.isData = isData;
  }

  has(offset: number): boolean {
    return offset >= this.start && offset < this.end;
  }
}

const NO_EXTENT = new FileExtent(0, 0, false);

/** A regular file or a block device of the host. Requests go straight to the memory that they name. */
export class HostFile implements ByteStore {
  readonly name: string;
  readonly fd: number;
  readonly writable: boolean;
  readonly growsWithZeroes: boolean;
  /** The same file past the page cache; -1 without. The kernel keeps both views of it the same. */
  readonly #directFd: number;
  /** The data or the hole that was looked for last, unless the file was changed since. */
  #extent = NO_EXTENT;
  #changesUnseen = false;
  #size: number;

  readonly #unsafe: boolean;

  private constructor(name: string, fd: number, directFd: number, options: HostFileOptions) {
    const stat = fstatSync(fd);
    if (!stat.isFile() && !(options.blockDevice === true && stat.isBlockDevice())) {
      throw notAFile(name, stat.isDirectory());
    }
    this.name = name;
    this.fd = fd;
    this.#directFd = directFd;
    this.writable = options.writable ?? false;
    this.growsWithZeroes = stat.isFile();
    this.#unsafe = options.unsafe ?? false;
    this.#size = check(cLseek(fd, 0, SEEK_END), 'lseek', name);
  }

  /** Opens a file. Throws `E_FILE_OPEN` if there is none or it is something else, `E_DISK_LOCKED`. */
  static open(path: string, options: HostFileOptions = {}): HostFile {
    const { writable = false, direct = false, create, lock = false } = options;
    // O_NONBLOCK: to open a FIFO would wait for its other end.
    let flags = (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK;
    if (create !== undefined) flags |= create === 'new' ? O_CREAT | O_EXCL : O_CREAT;
    const fd = openFile(path, flags);
    let directFd = -1;
    try {
      if (lock) lockFile(fd, path, writable);
      if (direct) directFd = openDirect(fd, path, writable ? O_RDWR : O_RDONLY);
      return new HostFile(path, fd, directFd, options);
    } catch (error) {
      close(fd);
      if (directFd !== -1) close(directFd);
      throw error;
    }
  }

  /** A file that somebody else has opened as `open` does, by its `descriptors`, which become this one's. */
  static fromDescriptors(name: string, [fd, directFd = -1]: readonly number[], options: HostFileOptions): HostFile {
    return new HostFile(name, fd!, directFd, options);
  }

  /** What makes the same file of it in another process. */
  get descriptors(): readonly number[] {
    return this.#directFd === -1 ? [this.fd] : [this.fd, this.#directFd];
  }

  /** A new file in `folder` without a name, which is gone when it is closed. */
  static temporary(folder = tmpdir()): HostFile {
    return HostFile.#unnamed(folder, `a temporary file in ${folder}`);
  }

  /**
   * A new file that `publish` will give the name `path`: until then, nobody sees it, and if that never comes, nothing is
   * left of it. On a file system without such files it has its name at once. Throws `E_FILE_OPEN` if there is one already.
   */
  static unpublished(path: string): HostFile {
    if (existsSync(path)) throw openError(path, 'EEXIST', undefined);
    try {
      return HostFile.#unnamed(dirname(path), path);
    } catch (error) {
      const { errno: reason } = error as SystemError;
      if (reason === 'EOPNOTSUPP' || reason === 'EISDIR') {
        return HostFile.open(path, { writable: true, create: 'new', unsafe: true });
      }
      throw openError(path, reason, error);
    }
  }

  static #unnamed(folder: string, name: string): HostFile {
    const fd = open(folder, O_TMPFILE | O_RDWR, 0o666);
    return new HostFile(name, fd, -1, { writable: true, unsafe: true });
  }

  /** Gives an `unpublished` file its name. */
  publish(): void {
    if (this.#hasName) return;
    const from = `/proc/self/fd/${this.fd}`;
    check(cLinkat(AT_FDCWD, from, AT_FDCWD, this.name, AT_SYMLINK_FOLLOW), 'linkat', this.name);
  }

  /** Takes the name of an `unpublished` file away that had it at once. */
  abandon(): void {
    if (this.#hasName) unlinkSync(this.name);
  }

  get #hasName(): boolean {
    return fstatSync(this.fd).nlink > 0;
  }

  get size(): number {
    return this.#size;
  }

  read(offset: number, target: Uint8Array): void {
    const inside = Math.max(0, Math.min(target.length, this.#size - offset));
    this.#transfer(cPread, 'pread', addressOf(target), inside, offset);
    if (inside < target.length) target.fill(0, inside);
  }

  write(offset: number, source: Uint8Array): void {
    this.#extent = NO_EXTENT;
    this.#transfer(cPwrite, 'pwrite', addressOf(source), source.length, offset);
    this.#size = Math.max(this.#size, offset + source.length);
  }

  readList(offset: number, list: ScatterList): void {
    const inside = Math.max(0, Math.min(list.length, this.#size - offset));
    this.#transferList(cPread, cPreadv, 'preadv', offset, list, inside);
    if (inside < list.length) list.zero(inside);
  }

  writeList(offset: number, list: ScatterList): void {
    this.#extent = NO_EXTENT;
    this.#transferList(cPwrite, cPwritev, 'pwritev', offset, list, list.length);
    this.#size = Math.max(this.#size, offset + list.length);
  }

  /** The descriptor for a request that somebody else will carry out, which `fillIovecs` has described in `vectors`. */
  descriptorFor(vectors: Uint32Array, at: number, count: number, offset: number, write: boolean): number {
    // Nobody says when it is carried out, so from now on any look at the file is one at the moment.
    if (write) this.#changesUnseen = true;
    return this.#directFd !== -1 && areAligned(vectors, at, count, offset) ? this.#directFd : this.fd;
  }

  /** The descriptor for an fdatasync that somebody else will carry out; undefined where none is needed. */
  get descriptorToFlush(): number | undefined {
    return this.#unsafe ? undefined : this.fd;
  }

  flush(): void {
    if (!this.#unsafe) fdatasync(this.fd, this.name);
  }

  punchHole(offset: number, length: number): void {
    const inside = Math.min(length, this.#size - offset);
    if (inside <= 0) return;
    this.#zero(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, inside);
  }

  zeroRange(offset: number, length: number): void {
    if (length === 0) return;
    this.#zero(FALLOC_FL_ZERO_RANGE, offset, length);
    this.#size = Math.max(this.#size, offset + length);
  }

  /** Gets space for a range that keeps what it holds; the store grows where needed. False where the host cannot. */
  allocate(offset: number, length: number): boolean {
    if (length > 0 && !this.#fallocate(0, offset, length)) return false;
    this.#size = Math.max(this.#size, offset + length);
    return true;
  }

  resize(size: number): void {
    this.#extent = NO_EXTENT;
    check(cFtruncate(this.fd, size), 'ftruncate', this.name);
    this.#size = size;
  }

  nextData(offset: number): number {
    if (this.#changesUnseen || !this.#extent.has(offset)) this.#findExtent(offset);
    return this.#extent.isData ? offset : this.#extent.end;
  }

  nextHole(offset: number): number {
    if (this.#changesUnseen || !this.#extent.has(offset)) this.#findExtent(offset);
    return this.#extent.isData ? this.#extent.end : Math.min(offset, this.#size);
  }

  close(): void {
    close(this.fd);
    if (this.#directFd !== -1) close(this.#directFd);
  }

  /** Finds the data or the hole at `offset`; to look for the end of data takes as long as there is of them. */
  #findExtent(offset: number): void {
    const data = this.#seek(offset, SEEK_DATA, offset);
    const isData = data === offset && offset < this.#size;
    this.#extent = new FileExtent(offset, isData ? this.#seek(offset, SEEK_HOLE, this.#size) : data, isData);
  }

  /** Without knowledge of holes, all is data. */
  #seek(offset: number, whence: number, unknown: number): number {
    const found = cLseek(this.fd, offset, whence);
    if (found !== -1) return Math.min(found, this.#size);
    const reason = errno();
    if (reason === ENXIO) return this.#size;
    if (reason === EINVAL) return unknown;
    throw new SystemError('lseek', reason, this.name);
  }

  /** By fallocate, or by writing zeroes where the file system has no such thing. */
  #zero(mode: number, offset: number, length: number): void {
    if (this.#fallocate(mode, offset, length)) return;
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, ZEROES.bytes.length);
      this.#transfer(cPwrite, 'pwrite', addressOfMemory(ZEROES), part, offset + done);
      done += part;
    }
  }

  /** False if the file cannot do that. */
  #fallocate(mode: number, offset: number, length: number): boolean {
    this.#extent = NO_EXTENT;
    for (;;) {
      if (cFallocate(this.fd, mode, offset, length) === 0) return true;
      const reason = errno();
      if (reason === EOPNOTSUPP || reason === ENODEV || reason === EINVAL) return false;
      if (reason !== EINTR) throw new SystemError('fallocate', reason, this.name);
    }
  }

  #transferList(one: Transfer, many: Transfer, call: string, offset: number, list: ScatterList, length: number): void {
    if (list.count === 1) {
      this.#transfer(one, call, addressOfMemory(list.memories[0]!) + list.starts[0]!, length, offset);
      return;
    }
    for (let piece = 0, skip = 0, done = 0; done < length; ) {
      const count = fillIovecs(iovecs, 0, list, piece, skip, length - done, IOV_MAX);
      const isAligned = this.#directFd !== -1 && areAligned(iovecs, 0, count, offset + done);
      let n = this.#once(many, call, iovecsAddress, count, offset + done, isAligned);
      done += n;
      for (n += skip, skip = 0; n > 0; piece++) {
        const size = list.lengths[piece]!;
        if (n < size) {
          skip = n;
          break;
        }
        n -= size;
      }
    }
  }

  #transfer(function_: Transfer, call: string, address: number, length: number, offset: number): void {
    for (let done = 0; done < length; ) {
      const at = address + done;
      const n = length - done;
      const o = offset + done;
      done += this.#once(function_, call, at, n, o, this.#directFd !== -1 && isAligned(at, n, o));
    }
  }

  /** One call that transfers something. */
  #once(function_: Transfer, call: string, address: number, n: number, offset: number, direct: boolean): number {
    for (let fd = direct ? this.#directFd : this.fd; ; ) {
      const done = function_(fd, address, n, offset);
      if (done > 0) return done;
      if (done === 0) throw new CrosvmError('E_FILE_CHANGED', `${this.name}: the file became shorter while in use`);
      const reason = errno();
      if (reason === EINVAL && fd !== this.fd) fd = this.fd;
      else if (reason !== EINTR) throw new SystemError(call, reason, this.name);
    }
  }
}

function openFile(path: string, flags: number): number {
  try {
    return open(path, flags);
  } catch (error) {
    throw openError(path, (error as SystemError).errno, error);
  }
}

/** Opens an open file once more, through /proc: so it is the same file whatever its path means by now. */
function openDirect(fd: number, path: string, access: number): number {
  try {
    return open(`/proc/self/fd/${fd}`, access | O_DIRECT);
  } catch (cause) {
    if ((cause as SystemError).errno !== 'EINVAL') throw cause;
    throw new CrosvmError('E_DISK_DIRECT', `${path}: its file system cannot go past the page cache`, { cause });
  }
}

function lockFile(fd: number, path: string, exclusive: boolean): void {
  if (cFlock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) === 0) return;
  const reason = errno();
  if (reason !== EAGAIN) throw new SystemError('flock', reason, path);
  throw new CrosvmError('E_DISK_LOCKED', `${path}: the file is in use by another process`);
}

/** Bytes that a file takes on the host's disk: less than its size where it has holes. */
export function allocatedBytes(path: string): number {
  return statSync(path).blocks * 512;
}
