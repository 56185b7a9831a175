import type { DescriptorPaths } from '../../base/descriptor-paths.ts';
import * as inotify from '../../base/inotify.ts';
import type { ChangeListener, FolderChanges } from '../folder-changes.ts';
import { Name } from '../name.ts';

/** The user has some ten thousand watches at least (fs.inotify.max_user_watches), and other programs. */
const MAX_WATCHES = 1024;

/** Reads at a time: as much as the kernel keeps (16,384 events), of the usual size, and no more. */
const MAX_READS = 16;

const NAMES = inotify.IN_CREATE | inotify.IN_DELETE | inotify.IN_MOVED_FROM | inotify.IN_MOVED_TO;
const WATCHED = NAMES | inotify.IN_MODIFY | inotify.IN_ATTRIB | inotify.IN_ONLYDIR | inotify.IN_EXCL_UNLINK;

/** Whom the watches are for. */
export interface WatchOwner {
  /** The inode of what has the name at `address`, with a zero behind it, in a folder; 0 if clients do not have it. */
  find(folder: number, address: number): number;
  closed(): void;
}

/** Watches on the folders in which clients look for names; that which was not used for the longest time makes room for others. */
export class WatchedFolders implements FolderChanges {
  readonly #inotify: inotify.Inotify;
  readonly #paths: DescriptorPaths;
  readonly #owner: WatchOwner;
  /** Watches by the folder's inode, that which was used last at the end. */
  readonly #watches = new Map<number, number>();
  readonly #inodes = new Map<number, number>();
  /** The folder that was used last: most are used many times in a row. */
  #last = 0;
  readonly #name = new Name();

  /** The descriptor of `source` becomes this object's. */
  constructor(source: inotify.Inotify, paths: DescriptorPaths, owner: WatchOwner) {
    this.#inotify = source;
    this.#paths = paths;
    this.#owner = owner;
  }

  get fd(): number {
    return this.#inotify.fd;
  }

  watched(): Iterable<number> {
    return this.#watches.keys();
  }

  /** A client is about to look into a folder that is open as `fd`. One that cannot be watched is not. */
  use(inode: number, fd: number): void {
    if (inode === this.#last) return;
    this.#last = inode;
    let watch = this.#watches.get(inode);
    if (watch === undefined) {
      watch = this.#inotify.watch(this.#paths.of(fd), WATCHED);
      if (watch < 0) return;
      // The same folder of the host, which clients have got another inode for.
      this.#end(watch);
      this.#inodes.set(watch, inode);
      if (this.#watches.size === MAX_WATCHES) this.drop(this.#watches.keys().next().value!);
    }
    this.#watches.delete(inode);
    this.#watches.set(inode, watch);
  }

  /** Ends the watch on a folder, if there is one. */
  drop(inode: number): void {
    const watch = this.#watches.get(inode);
    if (watch === undefined) return;
    this.#inotify.unwatch(watch);
    this.#end(watch);
  }

  /** Ends all. */
  clear(): void {
    for (const inode of this.#watches.keys()) this.drop(inode);
  }

  tell(listener: ChangeListener): void {
    this.#read(listener, false);
  }

  skip(listener: ChangeListener): void {
    this.#read(listener, true);
  }

  close(): void {
    this.#inotify.close();
    this.#owner.closed();
  }

  #read(listener: ChangeListener, areKnown: boolean): void {
    for (let reads = 0; reads < MAX_READS && this.#inotify.fill(); reads++) {
      while (this.#inotify.next()) this.#handle(listener, areKnown);
    }
  }

  #handle(listener: ChangeListener, isKnown: boolean): void {
    const { mask, source } = this.#inotify;
    if ((mask & inotify.IN_Q_OVERFLOW) !== 0) listener.changesLost();
    else if ((mask & inotify.IN_IGNORED) !== 0) this.#end(source);
    else if (!isKnown) this.#tellOf(listener, this.#inodes.get(source));
  }

  /** Of the event at hand. A watch that was ended may have some left. */
  #tellOf(listener: ChangeListener, folder: number | undefined): void {
    if (folder === undefined) return;
    const { mask, memory, nameStart, nameLength } = this.#inotify;
    if ((mask & NAMES) !== 0) {
      listener.nameChanged(folder, this.#name.set(memory, nameStart, nameLength));
      return;
    }
    const inode = nameLength === 0 ? folder : this.#owner.find(folder, memory.address + nameStart);
    if (inode === 0) return;
    if ((mask & inotify.IN_MODIFY) !== 0) listener.dataChanged(inode);
    else listener.attributesChanged(inode);
  }

  #end(watch: number): void {
    const inode = this.#inodes.get(watch);
    if (inode === undefined) return;
    this.#inodes.delete(watch);
    this.#watches.delete(inode);
    if (inode === this.#last) this.#last = 0;
  }
}
