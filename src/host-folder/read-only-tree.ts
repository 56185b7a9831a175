import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import {
  type DirectoryEntry,
  FileAttributes,
  type FileEntry,
  type FolderStatistics,
  type RecordLock,
} from './attributes.ts';
import { O_ACCMODE, O_RDONLY, O_TRUNC, PATH_MAX, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, SEEK_DATA } from './constants.ts';
import {
  EBADF,
  EINVAL,
  EISDIR,
  ELOOP,
  ENFILE,
  ENODATA,
  ENOENT,
  ENOMEM,
  ENOTDIR,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EROFS,
  ESTALE,
} from './errno.ts';
import { type Folder, ROOT_INODE } from './folder.ts';
import { MemoryLocks } from './memory/memory-locks.ts';
import { checkName, type Name } from './name.ts';

/** What clients can know, and have open, at a time. */
const MAX_KNOWN = 1 << 20;
const MAX_OPEN = 1 << 16;

/** The number in a list of a file that has none yet, as nobody has looked it up. */
const UNKNOWN_NUMBER = 0xffff_ffff;

/** Cookies behind `.` and `..`; behind an entry of the list it is its place there. */
const BEHIND_DOTS = 2;

/** A file that clients know. */
class Known<T> {
  readonly inode: number;
  readonly file: T;
  lookups = 0;
  opened = 0;
  readonly locks = new MemoryLocks();

  constructor(inode: number, file: T) {
    this.inode = inode;
    this.file = file;
  }
}

interface Open<T> {
  readonly known: Known<T>;
  /** Of a folder that is read: what is left of its list, the cookie in front of that, and the entry that came last. */
  rest?: Iterator<readonly [name: string, file: T]>;
  at: number;
  last?: readonly [name: string, file: T] | undefined;
}

/**
 * A tree that a program makes up and that guests can only read. A program extends this class and says what is there; `T` is
 * what it knows a file by: the same value (as keys of a Map are the same) is the same file. Methods of the program may not throw.
 */
export abstract class ReadOnlyTree<T> implements Folder {
  readonly #root: Known<T>;
  readonly #byInode = new Map<number, Known<T>>();
  readonly #byFile = new Map<T, Known<T>>();
  readonly #open = new Map<number, Open<T>>();
  readonly #attributes = new FileAttributes();
  #lastInode = ROOT_INODE;
  #lastFile = 0;

  constructor(root: T) {
    this.#root = new Known(ROOT_INODE, root);
    this.reset();
  }

  /** What has that name in a folder. */
  protected abstract find(folder: T, name: string): T | undefined;

  /** What is in a folder; there may be more to `find`. */
  protected abstract list(folder: T): Iterable<readonly [name: string, file: T]>;

  /** Fills in what a file is: `mode` (S_IFREG, S_IFDIR or S_IFLNK, and permissions), `size`, perhaps times and owners. */
  protected abstract describe(file: T, attributes: FileAttributes): void;

  /** Fills `target` with the content of a regular file from `offset` on; returns how many bytes, fewer at its end. */
  protected abstract readContent(file: T, offset: number, target: ScatterList): number;

  /** Where a symbolic link leads. */
  protected linkTarget(_link: T): string {
    return '';
  }

  actAs(): void {}

  lookup(parent: number, name: Name, entry: FileEntry): number {
    const problem = checkName(name);
    if (problem < 0) return problem;
    const folder = this.#folder(parent);
    if (typeof folder === 'number') return folder;
    const file = this.find(folder.file, name.toString());
    if (file === undefined) return -ENOENT;
    const known = this.#know(file);
    if (known === undefined) return -ENOMEM;
    known.lookups++;
    entry.inode = known.inode;
    this.#describe(known, entry.attributes);
    return 0;
  }

  forget(inode: number, count: number): void {
    const known = this.#byInode.get(inode);
    if (known === undefined) return;
    known.lookups = Math.max(0, known.lookups - count);
    this.#dropIfUnused(known);
  }

  getAttributes(inode: number, file: number, attributes: FileAttributes): number {
    const known = file === 0 ? this.#byInode.get(inode) : this.#open.get(file)?.known;
    if (known === undefined) return file === 0 ? -ESTALE : -EBADF;
    this.#describe(known, attributes);
    return 0;
  }

  readLink(inode: number, target: HostMemory): number {
    const known = this.#byInode.get(inode);
    if (known === undefined) return -ESTALE;
    if (this.#typeOf(known.file) !== S_IFLNK) return -EINVAL;
    return new TextEncoder().encodeInto(this.linkTarget(known.file), target.bytes.subarray(0, PATH_MAX - 1)).written;
  }

  statistics(_inode: number, statistics: FolderStatistics): number {
    statistics.blocks = statistics.free = statistics.available = statistics.files = statistics.freeFiles = 0;
    return 0;
  }

  syncFileSystem(): number {
    return 0;
  }

  getExtended(): number {
    return -ENODATA;
  }

  listExtended(): number {
    return 0;
  }

  open(inode: number, flags: number): number {
    const known = this.#byInode.get(inode);
    if (known === undefined) return -ESTALE;
    const type = this.#typeOf(known.file);
    if (type === S_IFDIR) return -EISDIR;
    if (type !== S_IFREG) return type === S_IFLNK ? -ELOOP : -ENXIO;
    if ((flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0) return -EROFS;
    return this.#opened(known);
  }

  openDirectory(inode: number): number {
    const folder = this.#folder(inode);
    return typeof folder === 'number' ? folder : this.#opened(folder);
  }

  release(file: number): void {
    const open = this.#open.get(file);
    if (open === undefined) return;
    this.#open.delete(file);
    const { known } = open;
    known.locks.closed(file);
    known.opened--;
    this.#dropIfUnused(known);
  }

  descriptor(): number {
    return -EOPNOTSUPP;
  }

  read(file: number, offset: number, list: ScatterList): number {
    const open = this.#open.get(file);
    if (open === undefined) return -EBADF;
    const { known } = open;
    return this.#typeOf(known.file) === S_IFDIR ? -EISDIR : this.readContent(known.file, offset, list);
  }

  sync(file: number): number {
    return this.#open.has(file) ? 0 : -EBADF;
  }

  seek(file: number, offset: number, whence: number): number {
    const open = this.#open.get(file);
    if (open === undefined) return -EBADF;
    this.#describe(open.known, this.#attributes);
    const { size } = this.#attributes;
    if (offset >= size) return -ENXIO;
    return whence === SEEK_DATA ? offset : size;
  }

  nextEntry(file: number, cookieLow: number, cookieHigh: number, entry: DirectoryEntry): number {
    const open = this.#open.get(file);
    if (open === undefined) return -EBADF;
    const cookie = cookieLow + cookieHigh * 0x1_0000_0000;
    if (cookie < BEHIND_DOTS) {
      this.#put(entry, '.'.repeat(cookie + 1), open.known.file, cookie + 1);
      return 1;
    }
    const next = this.#next(open, cookie);
    if (next === undefined) return 0;
    this.#put(entry, ...next, cookie + 1);
    return 1;
  }

  control(file: number): number {
    return this.#open.has(file) ? -ENOTTY : -EBADF;
  }

  testLock(file: number, owner: bigint, lock: RecordLock): number {
    const open = this.#open.get(file);
    if (open === undefined) return -EBADF;
    open.known.locks.test(owner, lock);
    return 0;
  }

  setLock(file: number, owner: bigint, lock: RecordLock): number {
    return this.#open.get(file)?.known.locks.set(file, owner, lock) ?? -EBADF;
  }

  releaseLocks(file: number, owner: bigint): void {
    this.#open.get(file)?.known.locks.release(owner);
  }

  lockFile(file: number, operation: number): number {
    return this.#open.get(file)?.known.locks.lockFile(file, operation) ?? -EBADF;
  }

  reset(): void {
    this.#open.clear();
    this.#byInode.clear();
    this.#byFile.clear();
    this.#byInode.set(ROOT_INODE, this.#root);
    this.#byFile.set(this.#root.file, this.#root);
  }

  close(): void {
    this.reset();
  }

  // What would change something.
  makeDirectory(): number {
    return -EROFS;
  }
  makeNode(): number {
    return -EROFS;
  }
  symlink(): number {
    return -EROFS;
  }
  link(): number {
    return -EROFS;
  }
  unlink(): number {
    return -EROFS;
  }
  removeDirectory(): number {
    return -EROFS;
  }
  rename(): number {
    return -EROFS;
  }
  setAttributes(): number {
    return -EROFS;
  }
  setExtended(): number {
    return -EROFS;
  }
  removeExtended(): number {
    return -EROFS;
  }
  create(): number {
    return -EROFS;
  }
  createUnnamed(): number {
    return -EROFS;
  }
  write(): number {
    return -EROFS;
  }
  allocate(): number {
    return -EROFS;
  }
  copyRange(): number {
    return -EROFS;
  }
  killPrivileges(): number {
    return -EROFS;
  }

  #folder(inode: number): Known<T> | number {
    const known = this.#byInode.get(inode);
    if (known === undefined) return -ESTALE;
    return this.#typeOf(known.file) === S_IFDIR ? known : -ENOTDIR;
  }

  #typeOf(file: T): number {
    this.describe(file, this.#attributes);
    return this.#attributes.mode & S_IFMT;
  }

  #describe({ inode, file }: Known<T>, attributes: FileAttributes): void {
    Object.assign(attributes, NOTHING);
    this.describe(file, attributes);
    attributes.inoLow = inode % 0x1_0000_0000;
    attributes.inoHigh = Math.floor(inode / 0x1_0000_0000);
    attributes.blocks = Math.ceil(attributes.size / 512);
  }

  #know(file: T): Known<T> | undefined {
    const known = this.#byFile.get(file);
    if (known !== undefined || this.#byInode.size >= MAX_KNOWN) return known;
    const added = new Known(++this.#lastInode, file);
    this.#byInode.set(added.inode, added);
    this.#byFile.set(file, added);
    return added;
  }

  #dropIfUnused(known: Known<T>): void {
    if (known === this.#root || known.lookups > 0 || known.opened > 0) return;
    this.#byInode.delete(known.inode);
    this.#byFile.delete(known.file);
  }

  #opened(known: Known<T>): number {
    if (this.#open.size >= MAX_OPEN) return -ENFILE;
    const file = ++this.#lastFile;
    known.opened++;
    this.#open.set(file, { known, at: 0 });
    return file;
  }

  /** The entry behind a cookie, which mostly is the next one of the list. */
  #next(open: Open<T>, cookie: number): Open<T>['last'] {
    // It did not fit where it was to go, so it is asked for again.
    if (cookie === open.at - 1 && open.last !== undefined) return open.last;
    if (cookie !== open.at || open.rest === undefined) {
      open.rest = this.list(open.known.file)[Symbol.iterator]();
      open.at = BEHIND_DOTS;
    }
    do {
      const { value, done = false } = open.rest.next();
      open.last = done ? undefined : value;
    } while (open.last !== undefined && open.at++ < cookie);
    return open.last;
  }

  #put(entry: DirectoryEntry, name: string, file: T, cookie: number): void {
    const bytes = new TextEncoder().encode(name);
    entry.name.set({ bytes, address: 0 }, 0, bytes.length);
    const number = this.#byFile.get(file)?.inode ?? UNKNOWN_NUMBER;
    entry.inoLow = number % 0x1_0000_0000;
    entry.inoHigh = Math.floor(number / 0x1_0000_0000);
    entry.type = this.#typeOf(file) >> 12;
    entry.cookieLow = cookie % 0x1_0000_0000;
    entry.cookieHigh = Math.floor(cookie / 0x1_0000_0000);
  }
}

/** What is not described. */
const NOTHING: Readonly<FileAttributes> = Object.assign(new FileAttributes(), { links: 1 });
