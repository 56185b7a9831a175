import type { Folder } from '../../host-folder/folder.ts';
import type { P9Options } from '../../p9/p9-options.ts';
import { P9Server } from '../../p9/p9-server.ts';
import type { DeviceHost, VirtioDevice } from '../device.ts';
import { featureSet } from '../features.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { serveRequests } from '../serve-requests.ts';
import { p9Config, VIRTIO_9P_MOUNT_TAG } from './p9-config.ts';

/** Entries of the queue: Linux makes requests of as many pages. */
const QUEUE_SIZE = 128;

/** Requests that are served before others have their turn. */
const BATCH = 32;

/** The 9P transport device (VIRTIO 1.3, 5.13 reserves its number): in each request of its queue, one of 9P and room for the answer. */
export class P9Device implements VirtioDevice {
  readonly type = '9p';
  readonly features = featureSet(VIRTIO_9P_MOUNT_TAG);
  readonly queueSizes = [QUEUE_SIZE];
  readonly config: Uint8Array;
  readonly #chain = new DescriptorChain();
  readonly #server: P9Server;
  #host!: DeviceHost;

  /** The folder becomes this object's. Throws `E_9P_TAG`. */
  constructor(tag: string, folder: Folder, options: P9Options) {
    this.config = p9Config(tag);
    this.#server = new P9Server(folder, options);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  negotiated(): void {}

  serve(index: number, queue: Virtqueue): boolean {
    return serveRequests(this.#host, index, queue, this.#chain, BATCH, this.#answer);
  }

  reset(): void {
    this.#server.reset();
  }

  close(): void {
    this.#server.close();
  }

  readonly #answer = ({ readable, writable }: DescriptorChain): number => this.#server.handle(readable, writable);
}
