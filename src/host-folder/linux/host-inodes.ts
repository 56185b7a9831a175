import type { DescriptorPaths } from '../../base/descriptor-paths.ts';
import { closeDescriptor, openBeneath, statxAt, statxFd } from '../../base/file-calls.ts';
import { Inotify } from '../../base/inotify.ts';
import type { DirectoryEntry, FileAttributes, FileEntry } from '../attributes.ts';
import { O_NOFOLLOW, O_PATH, S_IFDIR } from '../constants.ts';
import { EACCES, ENOMEM, ENOTDIR, ESTALE } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import type { Name } from '../name.ts';
import { DeviceTable } from './devices.ts';
import { FileNumbers } from './file-numbers.ts';
import { InodeDescriptors } from './inode-descriptors.ts';
import { InodeTable, MAX_INODES } from './inode-table.ts';
import { statxAttributes, statxInoHigh, statxInoLow, statxLinks, statxMajor, statxMinor, statxType } from './statx.ts';
import { WatchedFolders } from './watched-folders.ts';

const DIRECTORY = S_IFDIR >> 12;

/** Which files of the host the inodes of clients are. Names are addresses of bytes with a zero behind them. */
export class HostInodes {
  readonly #root: number;
  readonly #devices = new DeviceTable();
  readonly #numbers = new FileNumbers();
  readonly #max: number;
  #table: InodeTable;
  #descriptors: InodeDescriptors;
  #watched: WatchedFolders | undefined;

  /** `root` is an O_PATH descriptor of the folder, and stays the caller's. `max`: how many files clients can know at a time. */
  constructor(root: number, max = MAX_INODES) {
    this.#root = root;
    this.#max = max;
    this.#table = new InodeTable(max);
    this.#descriptors = this.#begin();
  }

  /** Forgets all but the root. */
  reset(): void {
    this.#watched?.clear();
    this.#descriptors.dropAll();
    this.#table = new InodeTable(this.#max);
    this.#descriptors = this.#begin();
  }

  /** From now on, folders in which names are looked up are watched; undefined if the system does not let us. */
  watchChanges(paths: DescriptorPaths): WatchedFolders | undefined {
    const inotify = Inotify.create();
    if (inotify === undefined) return undefined;
    this.#watched = new WatchedFolders(inotify, paths, {
      find: (folder, address) => {
        const fd = this.descriptor(folder);
        return fd < 0 ? 0 : this.known(fd, address);
      },
      closed: () => {
        this.#watched = undefined;
      },
    });
    return this.#watched;
  }

  isLive(inode: number): boolean {
    return this.#table.isLive(inode);
  }

  /** S_IF >> 12 of a live inode. */
  type(inode: number): number {
    return this.#table.type(inode);
  }

  /** Whether it is on a file system of the kernel's own, with nothing for guests. */
  isKernels(inode: number): boolean {
    return this.#table.isLive(inode) && this.#devices.isKernels(this.#table.device(inode));
  }

  forget(inode: number, count: number): void {
    if (this.#table.isLive(inode)) this.#table.release(inode, count);
  }

  /** An O_PATH descriptor, which holds for some calls more; or a negative errno. */
  descriptor(inode: number): number {
    return this.#table.isLive(inode) ? this.#descriptors.of(inode) : -ESTALE;
  }

  /** The same of a folder in which names can be looked up. */
  directory(inode: number): number {
    const table = this.#table;
    if (!table.isLive(inode)) return -ESTALE;
    if (table.type(inode) !== DIRECTORY) return -ENOTDIR;
    if (this.#devices.isKernels(table.device(inode))) return -EACCES;
    const fd = this.#descriptors.of(inode);
    if (fd >= 0) this.#watched?.use(inode, fd);
    return fd;
  }

  /** Fills `statxWords`. */
  stat(inode: number): number {
    return this.#table.isLive(inode) ? this.#descriptors.stat(inode) : -ESTALE;
  }

  /** What `statxWords` say of a file, as clients see it. */
  attributes(to: FileAttributes): void {
    this.#attributesOn(Math.max(0, this.#devices.find(statxMajor(), statxMinor())), to);
  }

  /** Makes an entry of a folder what clients see of it. */
  show(entry: DirectoryEntry, folder: number): void {
    this.#numbers.replace(this.#table.isLive(folder) ? this.#table.device(folder) : 0, entry);
  }

  /** Gives out what is called `name` in the folder `parent`, which is open as `folder`. `address` is that of the same name. */
  enter(parent: number, folder: number, address: number, name: Name, entry: FileEntry): number {
    const result = statxAt(folder, address);
    if (result < 0) return result;
    let device = this.#devices.find(statxMajor(), statxMinor());
    if (device < 0) device = this.#newDevice(folder, address);
    return device < 0 ? device : this.#give(device, parent, name, entry);
  }

  /** Gives out a regular file that is open; `name` is undefined if it has none. */
  enterFd(fd: number, parent: number, name: Name | undefined, entry: FileEntry): number {
    const result = statxFd(fd);
    if (result < 0) return result;
    let device = this.#devices.find(statxMajor(), statxMinor());
    if (device < 0) device = this.#devices.add(statxMajor(), statxMinor(), fd);
    return device < 0 ? device : this.#give(device, parent, name, entry);
  }

  /** The inode of what is called so in a folder, if clients have it; or else 0. `statxWords` are its. */
  known(folder: number, address: number): number {
    if (statxAt(folder, address) < 0) return 0;
    const device = this.#devices.find(statxMajor(), statxMinor());
    const inode = device < 0 ? 0 : this.#table.find(statxInoLow(), statxInoHigh(), device);
    return inode !== 0 && this.#table.type(inode) === statxType() ? inode : 0;
  }

  /** Of the file that `statxWords` are about: whether it is gone when this name is. */
  isLastName(): boolean {
    return statxLinks() <= 1 || statxType() === DIRECTORY;
  }

  /** A name of it was taken away, the last one or not; it can still be reached for a while if it has a descriptor. */
  nameLost(inode: number, parent: number, name: Name, wasLast: boolean): void {
    if (wasLast) this.#table.unhash(inode);
    if (wasLast || this.#table.isAt(inode, parent, name)) this.#table.displace(inode);
  }

  moved(inode: number, parent: number, name: Name): void {
    this.#table.place(inode, parent, name);
  }

  /**
   * Fills `path` with the names that lead from the root to an inode, the last one first, for `isNamed`. False if it is not known
   * where it is.
   */
  pathTo(inode: number, path: number[]): boolean {
    const table = this.#table;
    path.length = 0;
    for (let at = inode; at !== ROOT_INODE; at = table.parent(at)) {
      if (!table.isLive(at) || table.name(at) === 0) return false;
      path.push(table.name(at));
    }
    return true;
  }

  isNamed(reference: number, name: Name): boolean {
    return this.#table.names.equals(reference, name);
  }

  /** What was said of an inode last; 0 of one that is new or not known. */
  mark(inode: number): number {
    return this.#table.isLive(inode) ? this.#table.mark(inode) : 0;
  }

  /** `mark` is 0 to MAX_MARK, of an inode that is live. */
  setMark(inode: number, mark: number): void {
    this.#table.setMark(inode, mark);
  }

  #give(device: number, parent: number, name: Name | undefined, entry: FileEntry): number {
    const table = this.#table;
    const type = statxType();
    let inode = table.find(statxInoLow(), statxInoHigh(), device);
    if (inode !== 0 && table.type(inode) !== type) {
      table.unhash(inode); // that file is gone, and its number is another one's
      inode = 0;
    }
    if (inode === 0 && table.isFull) return -ENOMEM;
    if (inode === 0) inode = table.add(statxInoLow(), statxInoHigh(), device, type);
    table.hold(inode);
    if (name !== undefined && inode !== ROOT_INODE) table.place(inode, parent, name);
    entry.inode = inode;
    const { attributes } = entry;
    this.#attributesOn(device, attributes);
    // A guest would follow mounts of a folder within itself for ever.
    if (attributes.isMountRoot && table.isBeneath(parent, inode)) attributes.isMountRoot = false;
    return 0;
  }

  #attributesOn(device: number, to: FileAttributes): void {
    statxAttributes(to);
    this.#numbers.replace(device, to);
  }

  #newDevice(folder: number, address: number): number {
    const [major, minor] = [statxMajor(), statxMinor()];
    const fd = openBeneath(folder, address, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0) return fd;
    // It may be another file than the one that was found before.
    const isThere = statxFd(fd) === 0 && statxMajor() === major && statxMinor() === minor;
    const device = isThere ? this.#devices.add(major, minor, fd) : -ESTALE;
    closeDescriptor(fd);
    return device;
  }

  /** The table with the folder itself in it. */
  #begin(): InodeDescriptors {
    statxFd(this.#root);
    const [major, minor] = [statxMajor(), statxMinor()];
    let device = this.#devices.find(major, minor);
    if (device < 0) device = this.#devices.add(major, minor, this.#root);
    this.#table.add(statxInoLow(), statxInoHigh(), device, DIRECTORY);
    const descriptors = new InodeDescriptors(this.#table, this.#devices, this.#root);
    this.#table.onRemove = (inode) => {
      descriptors.drop(inode);
      this.#watched?.drop(inode);
    };
    return descriptors;
  }
}
