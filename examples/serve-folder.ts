/** How a program serves a tree of its own to one guest. */
import { PeriodicTimer } from '../src/base/timer.ts';
import { awaitFrontEnd } from '../src/device-process/await-front-end.ts';
import { DEFAULT_FUSE_OPTIONS } from '../src/fuse/fuse-options.ts';
import type { Folder } from '../src/host-folder/folder.ts';
import { serveFrontEnd } from '../src/vhost-user/back-end/serve-front-end.ts';
import { FsDevice } from '../src/virtio/fs/fs-device.ts';

/**
 * Waits for a VMM at a socket and serves it the folder by virtio-fs, as the one with this tag, until it goes away. Blocks this
 * thread meanwhile; a program that has more to do calls it in a worker.
 */
export async function serveFolder(folder: Folder, tag: string, socketPath: string): Promise<void> {
  const setup = { tag, queues: 1, window: 0, options: DEFAULT_FUSE_OPTIONS };
  const device = new FsDevice(setup, folder, new PeriodicTimer());
  serveFrontEnd(device, await awaitFrontEnd(socketPath), (level, line) => console.error(`${level}: ${line}`));
}
