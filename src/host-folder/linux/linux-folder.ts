import type { DescriptorPaths } from '../../base/descriptor-paths.ts';
import {
  callMemory,
  changeMode,
  changeOwner,
  changeTimes,
  closeDescriptor,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openBeneath,
  openPath,
  readLinkOf,
  removeDirectoryAt,
  renameAt,
  statisticsOf,
  statxFd,
  symlinkAt,
  syncFileSystemOf,
  truncateFd,
  truncatePath,
  UNCHANGED_ID,
  UTIME_NOW,
  UTIME_OMIT,
  unlinkAt,
} from '../../base/file-calls.ts';
import type { HostMemory } from '../../memory/scatter-list.ts';
import type { AttributeChanges, DirectoryEntry, FileAttributes, FileEntry, FolderStatistics } from '../attributes.ts';
import {
  NAME_MAX,
  O_ACCMODE,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_SYNC,
  O_TMPFILE,
  O_TRUNC,
  PATH_MAX,
  RENAME_EXCHANGE,
  S_IALL,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../constants.ts';
import { EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENXIO, ESTALE } from '../errno.ts';
import type { Folder } from '../folder.ts';
import type { FolderChanges } from '../folder-changes.ts';
import { checkName, type Name } from '../name.ts';
import { AttributeNames } from './attribute-names.ts';
import type { Credentials } from './credentials.ts';
import { DirectoryReader } from './directory-reader.ts';
import { ExtendedAttributes } from './extended-attributes.ts';
import { HostFiles } from './host-files.ts';
import { HostInodes } from './host-inodes.ts';
import { takeStatistics } from './statfs.ts';

/** What a client's way to open a file means for the host's. O_DIRECT is about the client's cache. */
const OPEN_FLAGS = O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC;

/** The path of a folder itself. */
const SELF = callMemory(2);
SELF.bytes[0] = 0x2e;

/**
 * A folder of the host (`openFolder`). Each look-up is of one name in an open folder, so nothing leads out of it and no
 * symbolic link is followed; files are opened by what was looked up, not by name, and only regular ones and folders are.
 * It takes the descriptors of what clients have open, and some 200 more.
 */
export class LinuxFolder extends HostFiles implements Folder {
  readonly #root: number;
  /** Which files of the host clients know. */
  protected readonly inodes: HostInodes;
  readonly #credentials: Credentials;
  readonly #reader = new DirectoryReader();
  readonly #extended: ExtendedAttributes;
  /** Names for system calls, with a zero behind them. */
  readonly #name = callMemory(NAME_MAX + 1);
  readonly #otherName = callMemory(PATH_MAX);

  /** `root` is an O_PATH descriptor of the folder, which becomes this object's. */
  constructor(root: number, paths: DescriptorPaths, credentials: Credentials, names = new AttributeNames()) {
    super(paths, (inode, flags) => this.#openInode(inode, flags));
    this.#root = root;
    this.inodes = new HostInodes(root);
    this.#credentials = credentials;
    this.#extended = new ExtendedAttributes(paths, names);
  }

  watchChanges(): FolderChanges | undefined {
    return this.inodes.watchChanges(this.paths);
  }

  actAs(uid: number, gid: number, umask: number): void {
    this.#credentials.actAs(uid, gid, umask);
  }

  lookup(parent: number, name: Name, entry: FileEntry): number {
    const fd = this.#place(parent, name);
    return fd < 0 ? fd : this.#enter(parent, fd, name, entry);
  }

  forget(inode: number, count: number): void {
    this.inodes.forget(inode, count);
  }

  makeDirectory(parent: number, name: Name, mode: number, entry: FileEntry): number {
    const fd = this.#place(parent, name);
    if (fd < 0) return fd;
    const result = makeDirectoryAt(fd, this.#name.address, mode & S_IALL);
    return result < 0 ? result : this.#enter(parent, fd, name, entry);
  }

  makeNode(parent: number, name: Name, mode: number, major: number, minor: number, entry: FileEntry): number {
    const fd = this.#place(parent, name);
    if (fd < 0) return fd;
    const result = makeNodeAt(fd, this.#name.address, mode & (S_IFMT | S_IALL), major, minor);
    return result < 0 ? result : this.#enter(parent, fd, name, entry);
  }

  symlink(parent: number, name: Name, target: Name, entry: FileEntry): number {
    if (target.length === 0) return -ENOENT;
    if (target.length >= PATH_MAX) return -ENAMETOOLONG;
    if (target.has(0)) return -EINVAL;
    const fd = this.#place(parent, name);
    if (fd < 0) return fd;
    const result = symlinkAt(terminate(target, this.#otherName), fd, this.#name.address);
    return result < 0 ? result : this.#enter(parent, fd, name, entry);
  }

  link(inode: number, parent: number, name: Name, entry: FileEntry): number {
    const source = this.descriptorOf(inode);
    if (source < 0) return source;
    const fd = this.#place(parent, name);
    if (fd < 0) return fd;
    const result = linkAt(this.paths.of(source), fd, this.#name.address);
    return result < 0 ? result : this.#enter(parent, fd, name, entry);
  }

  unlink(parent: number, name: Name): number {
    return this.#remove(parent, name, unlinkAt);
  }

  removeDirectory(parent: number, name: Name): number {
    return this.#remove(parent, name, removeDirectoryAt);
  }

  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): number {
    const problem = checkName(newName);
    if (problem < 0) return problem;
    const to = this.inodes.directory(newParent);
    if (to < 0) return to;
    const from = this.#place(parent, name);
    if (from < 0) return from;
    const newAddress = terminate(newName, this.#otherName);
    const { inodes } = this;
    const moved = inodes.known(from, this.#name.address);
    const replaced = inodes.known(to, newAddress);
    const wasLast = replaced !== 0 && inodes.isLastName();
    if (replaced !== 0) inodes.descriptor(replaced); // its last chance
    const result = renameAt(from, this.#name.address, to, newAddress, flags);
    if (result < 0 || moved === replaced) return Math.min(0, result);
    if (replaced !== 0) {
      if ((flags & RENAME_EXCHANGE) !== 0) inodes.moved(replaced, parent, name);
      else inodes.nameLost(replaced, newParent, newName, wasLast);
    }
    if (moved !== 0) inodes.moved(moved, newParent, newName);
    return 0;
  }

  getAttributes(inode: number, file: number, attributes: FileAttributes): number {
    const result = this.#stat(inode, file);
    if (result === 0) this.inodes.attributes(attributes);
    return result;
  }

  setAttributes(inode: number, file: number, changes: AttributeChanges, attributes: FileAttributes): number {
    const fd = file === 0 ? this.descriptorOf(inode) : this.files.fd(file);
    if (fd < 0) return fd;
    const { mode, uid, gid, size, atime, mtime } = changes;
    let result = mode === undefined ? 0 : changeMode(this.paths.of(fd), mode & S_IALL);
    if (result >= 0 && (uid !== undefined || gid !== undefined)) {
      result = changeOwner(fd, uid ?? UNCHANGED_ID, gid ?? UNCHANGED_ID);
    }
    if (result >= 0 && size !== undefined) {
      result = this.#truncate(inode, file, fd, size, changes.killsPrivileges);
    }
    if (result >= 0 && (atime !== undefined || mtime !== undefined)) {
      const atimeNs = nanoseconds(atime, changes.atimeNs);
      const mtimeNs = nanoseconds(mtime, changes.mtimeNs);
      result = changeTimes(this.paths.of(fd), seconds(atime), atimeNs, seconds(mtime), mtimeNs);
    }
    if (result >= 0) result = statxFd(fd);
    if (result >= 0) this.inodes.attributes(attributes);
    return result;
  }

  readLink(inode: number, target: HostMemory): number {
    const fd = this.descriptorOf(inode);
    if (fd < 0) return fd;
    return this.inodes.type(inode) === S_IFLNK >> 12 ? readLinkOf(fd, target) : -EINVAL;
  }

  statistics(inode: number, statistics: FolderStatistics): number {
    const fd = this.descriptorOf(inode);
    const result = fd < 0 ? fd : statisticsOf(fd);
    if (result < 0) return result;
    takeStatistics(statistics);
    return 0;
  }

  syncFileSystem(inode: number): number {
    const fd = this.#openFolder(inode);
    if (fd < 0) return fd;
    const result = syncFileSystemOf(fd);
    closeDescriptor(fd);
    return result;
  }

  getExtended(inode: number, name: Name, target: HostMemory, size: number): number {
    const fd = this.descriptorOf(inode);
    return fd < 0 ? fd : this.#extended.get(fd, name, target, size);
  }

  listExtended(inode: number, target: HostMemory, size: number): number {
    const fd = this.descriptorOf(inode);
    return fd < 0 ? fd : this.#extended.list(fd, target, size);
  }

  setExtended(inode: number, name: Name, value: Name, flags: number): number {
    const fd = this.descriptorOf(inode);
    return fd < 0 ? fd : this.#extended.set(fd, name, value, flags);
  }

  removeExtended(inode: number, name: Name): number {
    const fd = this.descriptorOf(inode);
    return fd < 0 ? fd : this.#extended.remove(fd, name);
  }

  open(inode: number, flags: number): number {
    const fd = this.#openInode(inode, flags & OPEN_FLAGS);
    return fd < 0 ? fd : this.files.add(fd, inode);
  }

  openDirectory(inode: number): number {
    const fd = this.#openFolder(inode);
    return fd < 0 ? fd : this.files.add(fd, inode);
  }

  create(parent: number, name: Name, flags: number, mode: number, entry: FileEntry): number {
    const folder = this.#place(parent, name);
    if (folder < 0) return folder;
    const how = (flags & OPEN_FLAGS) | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK;
    const fd = openBeneath(folder, this.#name.address, how, mode & S_IALL);
    if (fd === -EEXIST && (flags & O_EXCL) === 0) return this.#openExisting(parent, name, flags, entry);
    return fd < 0 ? fd : this.#keep(fd, parent, name, entry);
  }

  createUnnamed(parent: number, flags: number, mode: number, entry: FileEntry): number {
    const folder = this.inodes.directory(parent);
    if (folder < 0) return folder;
    const fd = openBeneath(folder, SELF.address, (flags & (OPEN_FLAGS | O_EXCL)) | O_TMPFILE, mode & S_IALL);
    return fd < 0 ? fd : this.#keep(fd, parent, undefined, entry);
  }

  release(file: number): void {
    this.#reader.forget(this.files.fd(file));
    this.locks.closed(file);
    this.files.release(file);
  }

  descriptor(file: number): number {
    return this.files.fd(file);
  }

  nextEntry(file: number, cookieLow: number, cookieHigh: number, entry: DirectoryEntry): number {
    const fd = this.files.fd(file);
    const result = fd < 0 ? fd : this.#reader.next(fd, cookieLow, cookieHigh, entry);
    if (result > 0) this.inodes.show(entry, this.files.inode(file));
    return result;
  }

  reset(): void {
    this.#reader.forgetAll();
    this.files.releaseAll();
    this.locks.releaseAll();
    this.inodes.reset();
  }

  close(): void {
    this.reset();
    closeDescriptor(this.#root);
  }

  /** The descriptor of a folder; a name of it is checked and ready for a system call (`#name`). */
  #place(parent: number, name: Name): number {
    const problem = checkName(name);
    if (problem < 0) return problem;
    terminate(name, this.#name);
    return this.inodes.directory(parent);
  }

  #enter(parent: number, folder: number, name: Name, entry: FileEntry): number {
    return this.inodes.enter(parent, folder, this.#name.address, name, entry);
  }

  /** A descriptor of an inode. What was deleted is there still while it is open. */
  protected descriptorOf(inode: number): number {
    const fd = this.inodes.descriptor(inode);
    return fd === -ESTALE ? this.#openedAs(inode) : fd;
  }

  #openedAs(inode: number): number {
    const fd = this.files.someFd(inode);
    return fd === -1 ? -ESTALE : fd;
  }

  #stat(inode: number, file: number): number {
    let fd = 0;
    if (file !== 0) fd = this.files.fd(file);
    else {
      const result = this.inodes.stat(inode);
      if (result !== -ESTALE) return result;
      fd = this.#openedAs(inode);
    }
    return fd < 0 ? fd : statxFd(fd);
  }

  #openInode(inode: number, flags: number): number {
    const fd = this.descriptorOf(inode);
    if (fd < 0) return fd;
    const type = this.inodes.type(inode) << 12;
    if (type === S_IFREG) return openPath(this.paths.of(fd), flags | O_NONBLOCK);
    if (type === S_IFDIR) return -EISDIR;
    return type === S_IFLNK ? -ELOOP : -ENXIO;
  }

  #openFolder(inode: number): number {
    const folder = this.inodes.directory(inode);
    return folder < 0 ? folder : openBeneath(folder, SELF.address, O_DIRECTORY, 0);
  }

  /** A file that was there already when it was to be made. */
  #openExisting(parent: number, name: Name, flags: number, entry: FileEntry): number {
    const result = this.lookup(parent, name, entry);
    if (result < 0) return result;
    const file = this.open(entry.inode, flags);
    if (file < 0) this.forget(entry.inode, 1);
    return file;
  }

  #keep(fd: number, parent: number, name: Name | undefined, entry: FileEntry): number {
    const result = this.inodes.enterFd(fd, parent, name, entry);
    if (result < 0) closeDescriptor(fd);
    return result < 0 ? result : this.files.add(fd, entry.inode);
  }

  #remove(parent: number, name: Name, call: (folder: number, name: number) => number): number {
    const folder = this.#place(parent, name);
    if (folder < 0) return folder;
    const inode = this.inodes.known(folder, this.#name.address);
    const wasLast = inode !== 0 && this.inodes.isLastName();
    if (inode !== 0) this.inodes.descriptor(inode); // its last chance
    const result = call(folder, this.#name.address);
    if (result === 0 && inode !== 0) this.inodes.nameLost(inode, parent, name, wasLast);
    return result;
  }

  #truncate(inode: number, file: number, fd: number, size: number, killsPrivileges: boolean): number {
    if (file !== 0) return this.#truncated(truncateFd(fd, size), fd, killsPrivileges);
    const type = this.inodes.type(inode) << 12;
    if (type !== S_IFREG) return type === S_IFDIR ? -EISDIR : -EINVAL;
    return this.#truncated(truncatePath(this.paths.of(fd), size), fd, killsPrivileges);
  }

  #truncated(result: number, fd: number, killsPrivileges: boolean): number {
    return result === 0 && killsPrivileges ? this.takePrivilegesAway(fd) : result;
  }
}

/** Copies a name to memory for system calls; returns its address. */
function terminate(name: Name, memory: HostMemory): number {
  name.copyTo(memory.bytes, 0);
  memory.bytes[name.length] = 0;
  return memory.address;
}

function seconds(time: number | 'now' | undefined): number {
  return typeof time === 'number' ? time : 0;
}

function nanoseconds(time: number | 'now' | undefined, ns: number): number {
  if (time === undefined) return UTIME_OMIT;
  return time === 'now' ? UTIME_NOW : ns;
}
