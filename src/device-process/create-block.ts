import { hostDiskFiles } from '../base/host-disk-files.ts';
import { imageCodec } from '../base/image-codec.ts';
import { openDisk } from '../disk/open-disk.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import type { BlockSpec } from './device-spec.ts';

export function createBlock(spec: BlockSpec): BlockDevice {
  const { path, format, writable, lock, direct } = spec;
  const disk = openDisk({ files: hostDiskFiles, codec: imageCodec }, path, { format, writable, lock, direct });
  return new BlockDevice(disk, spec);
}
