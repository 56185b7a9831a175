import { PeriodicTimer } from '../base/timer.ts';
import { FsDevice } from '../virtio/fs/fs-device.ts';
import type { FsSpec } from './device-spec.ts';
import type { PreparedDevice } from './made-device.ts';
import { shareFolder } from './share-folder.ts';

export function prepareFs(spec: FsSpec): PreparedDevice {
  const { open, share } = shareFolder(spec, spec.options.readOnly);
  const timer = new PeriodicTimer();
  return { share, finish: () => ({ device: new FsDevice(spec, open(), timer) }) };
}
