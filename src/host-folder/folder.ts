import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import type {
  AttributeChanges,
  DirectoryEntry,
  FileAttributes,
  FileEntry,
  FolderStatistics,
  RecordLock,
} from './attributes.ts';
import type { FolderChanges } from './folder-changes.ts';
import type { Name } from './name.ts';

/** The inode that every folder has from the start and never forgets: itself. */
export const ROOT_INODE = 1;

/**
 * A tree of files that guests share: a folder of the host (`LinuxFolder`), one in memory (`MemoryFolder`), or what a program
 * makes up. File servers (FUSE, 9P) talk to it.
 *
 * - Files are known by _inodes_, numbers from 1 that the folder gives out with a `FileEntry`. Each time that it does counts,
 *   until `forget` takes it back. A number that was not given out, or was forgotten, is answered -ESTALE.
 * - What is open is known by _files_, numbers from 1, until `release`; others are answered -EBADF.
 * - Results are 0 or what was asked for; errors are negative errnos (errno.ts). Nothing throws and nothing blocks.
 * - Names are checked by the folder (`checkName`): a client can send anything.
 * - Symbolic links are shown as what they are; no call ever follows one.
 * - Offsets and lengths are whole numbers of bytes from 0 to 2^53 - 1, which the caller has checked.
 */
export interface Folder {
  /** Who makes files from now on: their owner, and the permissions that they do not get (umask(2)). */
  actAs(uid: number, gid: number, umask: number): void;

  // Names. `parent` is the inode of a folder.
  lookup(parent: number, name: Name, entry: FileEntry): number;
  /** Takes `count` entries of an inode back. More than were given is as many as were given. */
  forget(inode: number, count: number): void;
  makeDirectory(parent: number, name: Name, mode: number, entry: FileEntry): number;
  /** A file, FIFO, socket or device node, as the type in `mode` says. */
  makeNode(parent: number, name: Name, mode: number, major: number, minor: number, entry: FileEntry): number;
  symlink(parent: number, name: Name, target: Name, entry: FileEntry): number;
  link(inode: number, parent: number, name: Name, entry: FileEntry): number;
  unlink(parent: number, name: Name): number;
  removeDirectory(parent: number, name: Name): number;
  /** `flags`: RENAME_. */
  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): number;

  // Files by their inode. Where there is a `file` it is one of that inode, or 0.
  getAttributes(inode: number, file: number, attributes: FileAttributes): number;
  /** `attributes` are those that it has then. */
  setAttributes(inode: number, file: number, changes: AttributeChanges, attributes: FileAttributes): number;
  /** The target of a symbolic link goes to `target`; returns its length, cut to what fits. */
  readLink(inode: number, target: HostMemory): number;
  statistics(inode: number, statistics: FolderStatistics): number;
  /** All that was written to its file system is on the medium (syncfs(2)). */
  syncFileSystem(inode: number): number;
  /** The value goes to the first `size` bytes of `target`; returns its length. With size 0, only that. -ERANGE. */
  getExtended(inode: number, name: Name, target: HostMemory, size: number): number;
  /** Names, each with a zero byte behind it. */
  listExtended(inode: number, target: HostMemory, size: number): number;
  /** `flags`: XATTR_. */
  setExtended(inode: number, name: Name, value: Name, flags: number): number;
  removeExtended(inode: number, name: Name): number;

  // Open files. `flags` are O_ ones; what does not concern the host is ignored. The result is the file.
  open(inode: number, flags: number): number;
  openDirectory(inode: number): number;
  create(parent: number, name: Name, flags: number, mode: number, entry: FileEntry): number;
  /** Without a name (O_TMPFILE). */
  createUnnamed(parent: number, flags: number, mode: number, entry: FileEntry): number;
  /** All that was locked by way of this file is free. */
  release(file: number): void;
  /** The descriptor of the host behind a file, which stays the folder's. -EOPNOTSUPP if there is none. */
  descriptor(file: number): number;
  /** Fills a list from its start; returns how many bytes, fewer at the end of the file. */
  read(file: number, offset: number, list: ScatterList): number;
  /** Writes all of a list; returns how many bytes. */
  write(file: number, offset: number, list: ScatterList): number;
  /** Also of a folder. `dataOnly`: fdatasync(2). */
  sync(file: number, dataOnly: boolean): number;
  /** `mode`: FALLOC_FL_. */
  allocate(file: number, mode: number, offset: number, length: number): number;
  /** `whence`: SEEK_DATA or SEEK_HOLE. */
  seek(file: number, offset: number, whence: number): number;
  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number;
  /** Takes set-user-id, set-group-id and capabilities away, as a write by somebody without privileges does. */
  killPrivileges(file: number): number;
  /** The entry behind a cookie (0, 0: the first one). Returns 1, or 0 at the end. */
  nextEntry(file: number, cookieLow: number, cookieHigh: number, entry: DirectoryEntry): number;
  /** FS_IOC_GETFLAGS and its like; `argument` is read or written, 28 bytes at most. -ENOTTY for any other. */
  control(file: number, request: number, argument: HostMemory): number;

  // Locks. An owner is any number of 64 bits. Nothing waits: -EAGAIN says that somebody else has a lock.
  /** Makes `lock` the one that is in its way, or F_UNLCK. */
  testLock(file: number, owner: bigint, lock: RecordLock): number;
  setLock(file: number, owner: bigint, lock: RecordLock): number;
  /** What a close(2) does to record locks of this owner. */
  releaseLocks(file: number, owner: bigint): void;
  /** flock(2) of this open file; `operation` is LOCK_SH, LOCK_EX or LOCK_UN. */
  lockFile(file: number, operation: number): number;

  /**
   * For a folder that others change and that can tell of it: watches where clients look from now on. Undefined if that cannot be
   * now.
   */
  watchChanges?(): FolderChanges | undefined;

  /** Gives everything back that clients have not: files and inodes. The folder can be used again. */
  reset(): void;
  close(): void;
}
