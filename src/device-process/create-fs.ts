import { PeriodicTimer } from '../base/timer.ts';
import { FsDevice } from '../virtio/fs/fs-device.ts';
import type { FsSpec } from './device-spec.ts';
import type { PreparedDevice } from './made-device.ts';
import { shareFolder } from './share-folder.ts';

export function prepareFs(spec: FsSpec): PreparedDevice {
  const { tag, queues, options } = spec;
  const { open, share } = shareFolder(spec, options.readOnly);
  const timer = new PeriodicTimer();
  return { share, finish: () => ({ device: new FsDevice(tag, queues, open(), options, timer) }) };
}
