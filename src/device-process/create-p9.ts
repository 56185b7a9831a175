import { P9Device } from '../virtio/p9/p9-device.ts';
import type { P9Spec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';
import { shareFolder } from './share-folder.ts';

export function createP9(spec: P9Spec): MadeDevice {
  const { tag, options } = spec;
  const { open, share } = shareFolder(spec, options.readOnly);
  return { device: new P9Device(tag, open, options), share };
}
