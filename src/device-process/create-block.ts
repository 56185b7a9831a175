import { hostDiskFiles } from '../base/host-disk-files.ts';
import { imageCodec } from '../base/image-codec.ts';
import { openDisk } from '../disk/open-disk.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import type { BlockSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createBlock(spec: BlockSpec): MadeDevice {
  const { path, format, writable, lock, direct } = spec;
  const disk = openDisk({ files: hostDiskFiles, codec: imageCodec }, path, { format, writable, lock, direct });
  const device = new BlockDevice(disk, spec);
  return {
    device,
    orders: {
      resizeDisk: ({ size }, answer) => {
        device.resize(size);
        answer({ kind: 'done' });
      },
    },
  };
}
