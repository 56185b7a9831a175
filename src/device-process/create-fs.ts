import { PeriodicTimer } from '../base/timer.ts';
import { FsDevice } from '../virtio/fs/fs-device.ts';
import type { FsSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';
import { shareFolder } from './share-folder.ts';

export function createFs(spec: FsSpec): MadeDevice {
  const { tag, queues, options } = spec;
  const { open, share } = shareFolder(spec, options.readOnly);
  return { device: new FsDevice(tag, queues, open, options, new PeriodicTimer()), share };
}
