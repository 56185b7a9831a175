import { invalidEntry, invalidInode } from '../../fuse/notification.ts';
import type { Folder } from '../../host-folder/folder.ts';
import type { ChangeListener, FolderChanges } from '../../host-folder/folder-changes.ts';
import type { Name } from '../../host-folder/name.ts';
import { type DeviceHost, EPOLLIN } from '../device.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';

/** Notifications that wait for buffers of the driver: more than there are folders that can have changed. */
const MAX_BACKLOG = 4096;

/** Buffers that are filled, or given back, before others have their turn. */
const BATCH = 64;

/**
 * Tells the driver what others change in the folder, by notifications of FUSE in a queue of their own (VIRTIO 1.3, 5.11.6).
 *
 * What the driver's own requests change is not told. The folder tells of it, too, but before the call returns, and no two
 * requests are carried out at a time: what is there before a request is others' doing, what is there right after it is the
 * request's. A change of others in between is lost; it is seen when what the driver remembers times out.
 */
export class ChangeNotifier implements ChangeListener {
  readonly #folder: Folder;
  readonly #host: DeviceHost;
  readonly #queue: number;
  readonly #chain = new DescriptorChain();
  #changes: FolderChanges | undefined;
  #backlog: Uint8Array[] = [];
  /** Instead of a backlog: all folders that are watched may have changed. */
  #hasLost = false;

  /** `queue` is the number of the notification queue. */
  constructor(folder: Folder, host: DeviceHost, queue: number) {
    this.#folder = folder;
    this.#host = host;
    this.#queue = queue;
  }

  start(): void {
    this.#changes = this.#folder.watchChanges?.();
    if (this.#changes !== undefined) this.#host.watch(this.#changes.fd, EPOLLIN, () => this.tellOthers());
  }

  stop(): void {
    this.#backlog = [];
    this.#hasLost = false;
    if (this.#changes === undefined) return;
    this.#host.unwatch(this.#changes.fd);
    this.#changes.close();
    this.#changes = undefined;
  }

  /** Tells what has happened; to be called before a request. */
  tellOthers(): void {
    if (this.#changes === undefined) return;
    this.#changes.tell(this);
    this.#serveSoon();
  }

  /** Forgets what has happened: a request has just been carried out. */
  skipOwn(): void {
    if (this.#changes === undefined) return;
    this.#changes.skip(this);
    this.#serveSoon();
  }

  /** Fills the driver's buffers while there is something to say. True when there are more of both. */
  serve(queue: Virtqueue): boolean {
    const chain = this.#chain;
    let taken = 0;
    let hasMore = false;
    for (; this.#next() !== undefined; taken++) {
      if (taken === BATCH || !queue.pop(chain)) {
        hasMore = taken === BATCH || queue.enableNotification();
        break;
      }
      queue.push(chain, this.#fill(chain));
    }
    if (taken > 0) this.#host.interrupt(this.#queue);
    return hasMore;
  }

  nameChanged(parent: number, name: Name): void {
    this.#add(invalidEntry(parent, name));
  }

  dataChanged(inode: number): void {
    this.#add(invalidInode(inode, true));
  }

  attributesChanged(inode: number): void {
    this.#add(invalidInode(inode, false));
  }

  changesLost(): void {
    this.#backlog = [];
    this.#hasLost = true;
  }

  #add(notification: Uint8Array): void {
    if (this.#hasLost) return;
    if (this.#backlog.length === MAX_BACKLOG) this.changesLost();
    else this.#backlog.push(notification);
  }

  #serveSoon(): void {
    if (this.#hasLost || this.#backlog.length > 0) this.#host.serveSoon(this.#queue);
  }

  /** What to say next. */
  #next(): Uint8Array | undefined {
    if (this.#hasLost) {
      this.#hasLost = false;
      for (const folder of this.#changes!.watched()) this.#backlog.push(invalidInode(folder, true));
    }
    return this.#backlog[0];
  }

  /** Returns how many bytes were written: none if the driver's buffer is shorter than it was told that they are. */
  #fill({ writable }: DescriptorChain): number {
    const { length } = this.#backlog[0]!;
    if (writable.length < length) return 0;
    writable.copyFrom(this.#backlog.shift()!);
    return length;
  }
}
