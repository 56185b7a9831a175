import { P9Device } from '../virtio/p9/p9-device.ts';
import type { P9Spec } from './device-spec.ts';
import type { PreparedDevice } from './made-device.ts';
import { shareFolder } from './share-folder.ts';

export function prepareP9(spec: P9Spec): PreparedDevice {
  const { tag, options } = spec;
  const { open, share } = shareFolder(spec, options.readOnly);
  return { share, finish: () => ({ device: new P9Device(tag, open(), options) }) };
}
