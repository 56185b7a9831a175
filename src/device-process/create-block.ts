import { resolve } from 'node:path';
import { close } from '../base/fd.ts';
import { fileIdentity, hostDiskFiles } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { imageCodec } from '../base/image-codec.ts';
import { IoUring } from '../base/io-uring.ts';
import { mmap, view } from '../base/mmap.ts';
import type { Disk } from '../disk/disk.ts';
import { type OpenDiskOptions, openDisk } from '../disk/open-disk.ts';
import { openOverlay } from '../disk/overlay.ts';
import { TABLE_LOG_SIZE, TableLog } from '../disk/qcow2/table-log.ts';
import type { TransferEngine } from '../disk/transfer-engine.ts';
import { CrosvmError } from '../errors.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import { type BlockSpec, KEEPSAKE_SIZES, MAX_TABLE_LOGS, type OverlaySpec, preferredExecutor } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

/** Requests that io_uring has at a time: as many as a queue. */
const RING_ENTRIES = 256;

/** Throws what is wrong with the files, and `E_IO_URING`. */
export function createBlock(spec: BlockSpec): MadeDevice {
  const disk = openDiskOf(spec);
  let engine: TransferEngine | undefined;
  try {
    engine = openEngine(spec);
  } catch (error) {
    disk.close();
    throw error;
  }
  const device = new BlockDevice(disk, spec, engine);
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

function openDiskOf({ path, overlay, format, trust, writable, lock, direct, keepsake }: BlockSpec): Disk {
  const tableLogs = keepsake === undefined ? [] : openTableLogs(keepsake);
  const open = (options: OpenDiskOptions) =>
    openDisk({ files: hostDiskFiles, codec: imageCodec }, path, { format, trust, lock, direct, tableLogs, ...options });
  if (overlay === undefined) return open({ writable });
  const base = open({ writable: false });
  if (overlay.kind === 'temporary' && !writable) return base;
  let store: HostFile | undefined;
  try {
    store = openOverlayFile(overlay, { writable, lock, direct });
    const log = tableLogs[0] && new TableLog(tableLogs[0], fileIdentity(store.fd));
    return openOverlay(imageCodec, base, store, overlay.kind === 'file' ? resolve(path) : undefined, log);
  } catch (error) {
    store?.close();
    base.close();
    throw error;
  }
}

/** The logs in a memfd, which is closed and stays mapped until the process ends. */
function openTableLogs(fd: number): Uint8Array[] {
  try {
    const all = new Uint8Array(view(mmap({ length: KEEPSAKE_SIZES.block, fd }), KEEPSAKE_SIZES.block));
    return Array.from({ length: MAX_TABLE_LOGS }, (_, i) => all.subarray(i * TABLE_LOG_SIZE, (i + 1) * TABLE_LOG_SIZE));
  } finally {
    close(fd);
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
