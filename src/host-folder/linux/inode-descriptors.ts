import { callMemory, closeDescriptor, openBeneath, statxAt, statxFd } from '../../base/file-calls.ts';
import { O_NOFOLLOW, O_PATH, PATH_MAX } from '../constants.ts';
import { ELOOP, ENOENT, ENOTDIR, ESTALE, EXDEV } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { DescriptorCache } from './descriptor-cache.ts';
import type { DeviceTable } from './devices.ts';
import type { InodeTable } from './inode-table.ts';
import { statxInoHigh, statxInoLow, statxMajor, statxMinor, statxType } from './statx.ts';

/** How many descriptors inodes have together, however many there are. The table has room for the number of one of 255. */
const CAPACITY = 192;

/** For system calls. One for all, as it is never given back, and each client that starts anew has a table of its own. */
const path = callMemory(PATH_MAX + 1);

/**
 * O_PATH descriptors of inodes. One that was closed is opened again where the inode was last seen, beneath a folder that is
 * open; what is found there has to be the same file.
 */
export class InodeDescriptors {
  readonly #table: InodeTable;
  readonly #devices: DeviceTable;
  readonly #root: number;
  readonly #cache: DescriptorCache;
  /** Inodes from the one that is looked for up to one that is open. */
  readonly #chain: number[] = [];

  constructor(table: InodeTable, devices: DeviceTable, root: number) {
    this.#table = table;
    this.#devices = devices;
    this.#root = root;
    this.#cache = new DescriptorCache(CAPACITY, (inode) => table.setSlot(inode, 0));
  }

  /** The descriptor of a live inode, or a negative errno. It holds for the next hundred calls at least. */
  of(inode: number): number {
    const cached = this.cached(inode);
    return cached !== -1 ? cached : this.#open(inode);
  }

  /** The same if it is open, or else -1. */
  cached(inode: number): number {
    if (inode === ROOT_INODE) return this.#root;
    const slot = this.#table.slot(inode);
    return slot === 0 ? -1 : this.#cache.use(slot);
  }

  /** Fills `statxWords` with what an inode is; opens at most the folder that it is in. */
  stat(inode: number): number {
    const fd = this.cached(inode);
    if (fd !== -1) return statxFd(fd);
    const table = this.#table;
    const name = table.name(inode);
    if (name === 0) return -ESTALE;
    const parent = this.of(table.parent(inode));
    if (parent < 0) return parent;
    table.names.copyTo(name, path.bytes, 0);
    const result = statxAt(parent, path.address);
    if (result < 0) return isGone(result) ? -ESTALE : result;
    return this.#isFound(inode) ? 0 : -ESTALE;
  }

  /** Closes all. */
  dropAll(): void {
    this.#cache.clear();
  }

  /** Closes that of an inode, which may be about to be removed. */
  drop(inode: number): void {
    const slot = this.#table.slot(inode);
    if (slot === 0) return;
    closeDescriptor(this.#cache.take(slot));
    this.#table.setSlot(inode, 0);
  }

  #open(inode: number): number {
    const chain = this.#chain;
    chain.length = 0;
    let at = inode;
    let fd = -1;
    // Up to a folder that is open; the root always is.
    while (fd === -1) {
      if (this.#table.name(at) === 0 || chain.length > this.#table.count) return -ESTALE;
      chain.push(at);
      at = this.#table.parent(at);
      fd = this.cached(at);
    }
    // Only the last one is kept, so that no more than one other is closed for it.
    for (let between = -1; ; between = fd) {
      const next = this.#takePath(chain);
      fd = this.#openPath(fd, next);
      if (between !== -1) closeDescriptor(between);
      if (fd < 0) return fd;
      if (chain.length > 0) continue;
      this.#table.setSlot(next, this.#cache.add(next, fd));
      return fd;
    }
  }

  /** Opens `path`, which has to be `inode`. */
  #openPath(folder: number, inode: number): number {
    const fd = openBeneath(folder, path.address, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0) return isGone(fd) ? -ESTALE : fd;
    const result = statxFd(fd);
    if (result === 0 && this.#isFound(inode)) return fd;
    closeDescriptor(fd);
    return result < 0 ? result : -ESTALE;
  }

  /** Makes a path of as many inodes from the end of the chain as fit in one; returns the last of them. */
  #takePath(chain: number[]): number {
    const { names } = this.#table;
    const { bytes } = path;
    let length = 0;
    let inode = 0;
    for (;;) {
      const next = chain[chain.length - 1];
      if (next === undefined) return inode;
      const name = this.#table.name(next);
      if (inode !== 0) {
        if (length + 1 + names.lengthOf(name) >= PATH_MAX) return inode;
        bytes[length++] = 0x2f;
      }
      names.copyTo(name, bytes, length);
      length += names.lengthOf(name);
      inode = next;
      chain.pop();
    }
  }

  /** Whether statx(2) has found this inode. */
  #isFound(inode: number): boolean {
    const device = this.#devices.find(statxMajor(), statxMinor());
    return this.#table.isSame(inode, statxInoLow(), statxInoHigh(), device, statxType());
  }
}

/** Whether a path that was right leads nowhere now, or over something that is not a folder any more. */
function isGone(result: number): boolean {
  return result === -ENOENT || result === -ENOTDIR || result === -ELOOP || result === -EXDEV;
}
