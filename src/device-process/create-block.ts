import { resolve } from 'node:path';
import { hostDiskFiles } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { imageCodec } from '../base/image-codec.ts';
import { IoUring } from '../base/io-uring.ts';
import type { Disk } from '../disk/disk.ts';
import { type OpenDiskOptions, openDisk } from '../disk/open-disk.ts';
import { openOverlay } from '../disk/overlay.ts';
import type { TransferEngine } from '../disk/transfer-engine.ts';
import { CrosvmError } from '../errors.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import { type BlockSpec, type OverlaySpec, preferredExecutor } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

/** Requests that io_uring has at a time: as many as a queue. */
const RING_ENTRIES = 256;

/** Throws what is wrong with the files, and `E_IO_URING`. */
export function createBlock(spec: BlockSpec): MadeDevice {
  // A temporary file needs no power to be cut, so its flushes cost little; and then nothing is lost with this process.
  const writeThrough = spec.overlay?.kind === 'temporary';
  const disk = openDiskOf(spec);
  let engine: TransferEngine | undefined;
  try {
    engine = openEngine(spec);
  } catch (error) {
    disk.close();
    throw error;
  }
  const device = new BlockDevice(disk, { ...spec, writeThrough }, engine);
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

function openEngine(spec: BlockSpec): TransferEngine | undefined {
  if (preferredExecutor(spec) === 'epoll') return undefined;
  const ring = IoUring.open(RING_ENTRIES);
  if (ring !== undefined || spec.executor === undefined) return ring;
  throw new CrosvmError(
    'E_IO_URING',
    `${spec.path}: async-executor=uring: the host does not let us use io_uring (it needs Linux 5.10; see sysctl kernel.io_uring_disabled)`,
  );
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
