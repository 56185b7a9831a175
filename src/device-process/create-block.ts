import { resolve } from 'node:path';
import { hostDiskFiles } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { imageCodec } from '../base/image-codec.ts';
import type { Disk } from '../disk/disk.ts';
import { type OpenDiskOptions, openDisk } from '../disk/open-disk.ts';
import { openOverlay } from '../disk/overlay.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import type { BlockSpec, OverlaySpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createBlock(spec: BlockSpec): MadeDevice {
  // A temporary file needs no power to be cut, so its flushes cost little; and then nothing is lost with this process.
  const writeThrough = spec.overlay?.kind === 'temporary';
  const device = new BlockDevice(openDiskOf(spec), { ...spec, writeThrough });
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

function openDiskOf({ path, overlay, format, trust, writable, lock, direct }: BlockSpec): Disk {
  const open = (options: OpenDiskOptions) =>
    openDisk({ files: hostDiskFiles, codec: imageCodec }, path, { format, trust, lock, direct, ...options });
  if (overlay === undefined) return open({ writable });
  const base = open({ writable: false });
  if (overlay.kind === 'temporary' && !writable) return base;
  let store: HostFile | undefined;
  try {
    store = openOverlayFile(overlay, { writable, lock, direct });
    return openOverlay(imageCodec, base, store, overlay.kind === 'file' ? resolve(path) : undefined);
  } catch (error) {
    store?.close();
    base.close();
    throw error;
  }
}

/** An overlay that is only read has to be there. */
function openOverlayFile(
  overlay: OverlaySpec,
  how: { readonly writable: boolean; readonly lock: boolean; readonly direct: boolean },
): HostFile {
  if (overlay.kind === 'file')
    return HostFile.open(overlay.path, how.writable ? { ...how, create: 'if missing' } : how);
  return overlay.fd === undefined ? HostFile.temporary() : HostFile.openTemporary(overlay.fd);
}
