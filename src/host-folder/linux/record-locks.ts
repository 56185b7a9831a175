import { closeDescriptor, flockWords, recordLock } from '../../base/file-calls.ts';
import { LOCK_END, type RecordLock } from '../attributes.ts';
import { F_UNLCK, O_RDONLY, O_RDWR, O_WRONLY } from '../constants.ts';
import { EACCES, EAGAIN, ENOLCK } from '../errno.ts';

/** Owners that can have locks at a time: each takes a descriptor. */
const MAX_OWNERS = 512;

/** struct flock. */
const L_TYPE = 0;
const L_START = 8;
const L_LEN = 16;

/** An owner of locks on a file. */
interface Holder {
  readonly fd: number;
  /** The client's open file by which it has locked first. */
  readonly file: number;
}

/**
 * POSIX locks of clients as locks of the host, so that other programs and other guests see them. They belong to an open
 * file there (F_OFD_SETLK), so each owner opens each file that it locks once more.
 */
export class RecordLocks {
  readonly #holders = new Map<string, Holder>();
  readonly #open: (inode: number, flags: number) => number;

  /** `open` opens a file of the host for an inode. */
  constructor(open: (inode: number, flags: number) => number) {
    this.#open = open;
  }

  /** `fd` is any descriptor of the inode. */
  test(inode: number, fd: number, owner: bigint, lock: RecordLock): number {
    describe(lock);
    const result = recordLock(this.#holders.get(keyOf(inode, owner))?.fd ?? fd, true);
    if (result < 0) return result;
    lock.type = flockWords.getInt16(L_TYPE, true);
    if (lock.type === F_UNLCK) return 0;
    lock.start = flockWords.getBigInt64(L_START, true);
    const length = flockWords.getBigInt64(L_LEN, true);
    lock.end = length === 0n ? LOCK_END : lock.start + length - 1n;
    lock.pid = 0; // whoever it is, it is no process of this client
    return 0;
  }

  /** `file` is the client's, of that inode. */
  set(inode: number, file: number, owner: bigint, lock: RecordLock): number {
    const key = keyOf(inode, owner);
    let fd = this.#holders.get(key)?.fd;
    if (fd === undefined) {
      if (lock.type === F_UNLCK) return 0;
      fd = this.#openFor(inode);
      if (fd < 0) return fd;
      this.#holders.set(key, { fd, file });
    }
    describe(lock);
    const result = recordLock(fd, false);
    return result === -EACCES ? -EAGAIN : result;
  }

  release(inode: number, owner: bigint): void {
    if (this.#holders.size > 0) this.#end(keyOf(inode, owner));
  }

  /**
   * A client's file is closed for good. Who locks by open files (F_OFD_SETLK) is heard of no more; processes have released their
   * locks when they closed it.
   */
  closed(file: number): void {
    for (const [key, holder] of this.#holders) if (holder.file === file) this.#end(key);
  }

  releaseAll(): void {
    for (const key of this.#holders.keys()) this.#end(key);
  }

  #end(key: string): void {
    const holder = this.#holders.get(key);
    if (holder === undefined) return;
    closeDescriptor(holder.fd);
    this.#holders.delete(key);
  }

  /** A lock to write takes a file that is open for writing, one to read a file that is open for reading. */
  #openFor(inode: number): number {
    if (this.#holders.size === MAX_OWNERS) return -ENOLCK;
    let fd = -EACCES;
    for (const access of [O_RDWR, O_RDONLY, O_WRONLY]) {
      fd = this.#open(inode, access);
      if (fd >= 0) return fd;
    }
    return fd;
  }
}

function keyOf(inode: number, owner: bigint): string {
  return `${inode} ${owner}`;
}

function describe({ type, start, end }: RecordLock): void {
  const length = end === LOCK_END ? 0n : end - start + 1n;
  flockWords.setBigUint64(0, BigInt(type), true); // and l_whence: SEEK_SET
  flockWords.setBigInt64(L_START, start, true);
  flockWords.setBigInt64(L_LEN, length, true);
  flockWords.setBigInt64(24, 0n, true);
}
