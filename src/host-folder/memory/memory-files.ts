import type { ScatterList } from '../../memory/scatter-list.ts';
import type { DirectoryEntry, RecordLock } from '../attributes.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_ACCMODE,
  O_APPEND,
  O_RDONLY,
  O_WRONLY,
  SEEK_DATA,
} from '../constants.ts';
import { EBADF, EINVAL, EISDIR, ENFILE, ENOSPC, ENOTDIR, ENOTTY, ENXIO, EOPNOTSUPP } from '../errno.ts';
import { FolderCursor } from './folder-cursor.ts';
import { MemoryBudget } from './memory-budget.ts';
import { MemoryLocks } from './memory-locks.ts';
import { type MemoryNode, PAGE_BYTES, takePrivileges, timeNow } from './memory-node.ts';
import { missingPages, readContent, resizeContent, seekContent, writeContent, zeroContent } from './node-content.ts';

/** Files that clients have open: more than there are on a system by default (proc_sys_fs(5)) are a mistake, or an attack. */
const MAX_OPEN = 1 << 16;

interface OpenFile {
  readonly node: MemoryNode;
  readonly flags: number;
  /** Of a folder that is read. */
  cursor: FolderCursor | undefined;
}

/** What is done with files in memory that clients have open: a part of `MemoryFolder`. */
export abstract class MemoryFiles {
  protected readonly budget: MemoryBudget;
  protected readonly files = new Map<number, OpenFile>();
  readonly #locks = new WeakMap<MemoryNode, MemoryLocks>();
  #lastFile = 0;

  /** `capacity` in bytes. */
  constructor(capacity: number) {
    this.budget = new MemoryBudget(capacity);
  }

  release(file: number): void {
    const open = this.files.get(file);
    if (open === undefined) return;
    this.#locks.get(open.node)?.closed(file);
    this.files.delete(file);
    open.node.opened--;
    this.dropIfGone(open.node);
  }

  read(file: number, offset: number, list: ScatterList): number {
    const open = this.files.get(file);
    if (open === undefined || (open.flags & O_ACCMODE) === O_WRONLY) return -EBADF;
    if (open.node.isFolder) return -EISDIR;
    open.node.atime = timeNow();
    return readContent(open.node, offset, list);
  }

  write(file: number, offset: number, list: ScatterList): number {
    const open = this.#writable(file);
    if (open === undefined) return -EBADF;
    const { node, flags } = open;
    const at = (flags & O_APPEND) !== 0 ? node.size : offset;
    if (list.length === 0) return 0;
    if (!this.budget.take(missingPages(node, at, list.length) * PAGE_BYTES)) return -ENOSPC;
    writeContent(node, at, list);
    node.touch();
    return list.length;
  }

  sync(file: number): number {
    return this.files.has(file) ? 0 : -EBADF;
  }

  allocate(file: number, mode: number, offset: number, length: number): number {
    const open = this.#writable(file);
    if (open === undefined) return -EBADF;
    if (length === 0) return -EINVAL;
    const { node } = open;
    const keepsSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    const kind = mode & ~FALLOC_FL_KEEP_SIZE;
    if (kind !== 0 && kind !== FALLOC_FL_ZERO_RANGE && kind !== FALLOC_FL_PUNCH_HOLE) return -EOPNOTSUPP;
    if (kind === FALLOC_FL_PUNCH_HOLE && !keepsSize) return -EOPNOTSUPP;
    if (kind !== 0) this.#givePages(zeroContent(node, offset, length));
    if (!keepsSize) node.size = Math.max(node.size, offset + length);
    node.touch();
    return 0;
  }

  seek(file: number, offset: number, whence: number): number {
    const open = this.files.get(file);
    if (open === undefined) return -EBADF;
    if (offset >= open.node.size) return -ENXIO;
    return seekContent(open.node, offset, whence === SEEK_DATA) ?? -ENXIO;
  }

  copyRange(): number {
    return -EOPNOTSUPP; // the guest copies by itself then
  }

  killPrivileges(file: number): number {
    const open = this.files.get(file);
    if (open === undefined) return -EBADF;
    takePrivileges(open.node);
    return 0;
  }

  nextEntry(file: number, cookieLow: number, cookieHigh: number, entry: DirectoryEntry): number {
    const open = this.files.get(file);
    if (open === undefined) return -EBADF;
    if (!open.node.isFolder) return -ENOTDIR;
    open.cursor ??= new FolderCursor(open.node);
    return open.cursor.next(cookieLow + cookieHigh * 0x1_0000_0000, entry);
  }

  control(file: number): number {
    return this.files.has(file) ? -ENOTTY : -EBADF;
  }

  testLock(file: number, owner: bigint, lock: RecordLock): number {
    return this.#withLocks(file, (locks) => {
      locks.test(owner, lock);
      return 0;
    });
  }

  setLock(file: number, owner: bigint, lock: RecordLock): number {
    return this.#withLocks(file, (locks) => locks.set(file, owner, lock));
  }

  releaseLocks(file: number, owner: bigint): void {
    this.#withLocks(file, (locks) => {
      locks.release(owner);
      return 0;
    });
  }

  lockFile(file: number, operation: number): number {
    return this.#withLocks(file, (locks) => locks.lockFile(file, operation));
  }

  /** A file was closed; it goes if nothing leads to it any more. */
  protected abstract dropIfGone(node: MemoryNode): void;

  /** There are as many open files as there may be. */
  protected get isFull(): boolean {
    return this.files.size >= MAX_OPEN;
  }

  protected openNode(node: MemoryNode, flags: number): number {
    if (this.isFull) return -ENFILE;
    const file = ++this.#lastFile;
    node.opened++;
    this.files.set(file, { node, flags, cursor: undefined });
    return file;
  }

  protected releaseAll(): void {
    for (const file of [...this.files.keys()]) this.release(file);
  }

  protected resize(node: MemoryNode, size: number): void {
    this.#givePages(resizeContent(node, size));
  }

  protected freeContent(node: MemoryNode): void {
    this.#givePages(node.pages.size);
    node.pages.clear();
  }

  #writable(file: number): OpenFile | undefined {
    const open = this.files.get(file);
    return open === undefined || (open.flags & O_ACCMODE) === O_RDONLY ? undefined : open;
  }

  #givePages(count: number): void {
    this.budget.give(count * PAGE_BYTES);
  }

  #withLocks(file: number, act: (locks: MemoryLocks) => number): number {
    const open = this.files.get(file);
    if (open === undefined) return -EBADF;
    let locks = this.#locks.get(open.node);
    if (locks === undefined) this.#locks.set(open.node, (locks = new MemoryLocks()));
    return act(locks);
  }
}
