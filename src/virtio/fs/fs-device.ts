import type { FuseOptions } from '../../fuse/fuse-options.ts';
import { FuseServer, WAITS } from '../../fuse/fuse-server.ts';
import type { Folder } from '../../host-folder/folder.ts';
import type { DeviceHost, VirtioDevice } from '../device.ts';
import { type FeatureSet, featureSet, hasFeature } from '../features.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { LATER, serveRequests } from '../serve-requests.ts';
import { BlockedRequests, type RetryTimer } from './blocked-requests.ts';
import { ChangeNotifier } from './change-notifier.ts';
import { DaxWindow } from './dax-window.ts';
import { fsConfig, VIRTIO_FS_F_NOTIFICATION } from './fs-config.ts';

/** Entries of a queue: Linux makes requests of as many pages as it has descriptors for. */
const QUEUE_SIZE = 1024;

/** The queue for notifications, if there is one; those for requests are the others. */
const NOTIFICATION_QUEUE = 1;

/** Requests of a queue that are served before others have their turn. */
const BATCH = 32;

/** What a file system device is to be. */
export interface FsSetup {
  /** By what the guest mounts it. */
  readonly tag: string;
  /** For requests. */
  readonly queues: number;
  /** Bytes of files that the guest can have as memory (DAX); 0 for none. */
  readonly window: number;
  readonly options: FuseOptions;
}

/**
 * The file system device (VIRTIO 1.3, 5.11): FUSE requests in one queue for urgent ones and some for all others. If what the
 * guest remembers can be wrong, and the folder tells of changes, there may be a queue for notifications of them.
 */
export class FsDevice implements VirtioDevice {
  readonly type = 'fs';
  readonly features: FeatureSet;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly sharedMemory?: readonly number[];
  readonly #server: FuseServer;
  readonly #window: DaxWindow;
  readonly #timer: RetryTimer;
  readonly #chain = new DescriptorChain();
  readonly #folder: Folder;
  #blocked!: BlockedRequests;
  #notifier: ChangeNotifier | undefined;
  #hasNotificationQueue = false;
  /** The queue that is served. */
  #serving = 0;
  #host!: DeviceHost;

  /** Throws `E_FS_TAG`. */
  constructor({ tag, queues, window, options }: FsSetup, folder: Folder, timer: RetryTimer) {
    const notifies = options.cache === 'auto' && folder.watchChanges !== undefined;
    this.features = notifies ? featureSet(VIRTIO_FS_F_NOTIFICATION) : 0n;
    this.config = fsConfig(tag, queues, notifies);
    if (window > 0) this.sharedMemory = [window];
    this.#window = new DaxWindow(window);
    this.queueSizes = new Array<number>((notifies ? 2 : 1) + queues).fill(QUEUE_SIZE);
    this.#folder = folder;
    this.#server = new FuseServer(folder, options, this.#window);
    this.#timer = timer;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    this.#window.host = host;
    this.#blocked = new BlockedRequests(this.#server, this.#timer, host);
    this.#notifier = new ChangeNotifier(this.#folder, host, NOTIFICATION_QUEUE);
  }

  negotiated(features: FeatureSet): void {
    this.#hasNotificationQueue = hasFeature(features, VIRTIO_FS_F_NOTIFICATION);
    this.#notifier!.stop();
    if (this.#hasNotificationQueue) this.#notifier!.start();
  }

  serve(index: number, queue: Virtqueue): boolean {
    if (this.#hasNotificationQueue && index === NOTIFICATION_QUEUE) return this.#notifier!.serve(queue);
    this.#serving = index;
    return serveRequests(this.#host, index, queue, this.#chain, BATCH, this.#answer);
  }

  queueStopping(index: number): void {
    this.#blocked.interruptAll(index);
  }

  reset(): void {
    this.#notifier!.stop();
    this.#server.reset();
  }

  close(): void {
    this.#notifier?.stop();
    this.#timer.close();
    this.#server.close();
  }

  readonly #answer = (chain: DescriptorChain): number => {
    this.#notifier!.tellOthers();
    const written = this.#server.handle(chain.readable, chain.writable);
    this.#notifier!.skipOwn();
    if (written === WAITS) return this.#blocked.add(this.#serving, chain) ? LATER : this.#server.refuseToWait();
    this.#blocked.checkInterrupt();
    return written;
  };
}
