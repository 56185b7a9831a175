import { resolve } from 'node:path';
import { close } from '../base/fd.ts';
import { hostDiskFiles, identityOf } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { imageCodec } from '../base/image-codec.ts';
import { IoUring } from '../base/io-uring.ts';
import { mmap, view } from '../base/mmap.ts';
import type { Disk } from '../disk/disk.ts';
import type { FileAccess, OpenedFile } from '../disk/disk-files.ts';
import { openDisk } from '../disk/open-disk.ts';
import { openOverlay } from '../disk/overlay.ts';
import { MAX_TABLE_LOGS, TABLE_LOG_SIZE, TABLE_LOGS_SIZE, TableLog } from '../disk/qcow2/table-log.ts';
import type { TransferEngine } from '../disk/transfer-engine.ts';
import { CrosvmError } from '../errors.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import { type BlockSpec, type OverlaySpec, preferredExecutor } from './device-spec.ts';
import { brokeredDiskFiles } from './file-broker.ts';
import type { MadeDevice, PreparedDevice } from './made-device.ts';

/** Requests that io_uring has at a time: as many as a queue. */
const RING_ENTRIES = 256;

/** Opens the image and what is written beside it. Throws `E_FILE_OPEN`, `E_DISK_LOCKED`, `E_IO_URING`. */
export function prepareBlock(spec: BlockSpec): PreparedDevice {
  const { path, overlay, writable, lock, direct } = spec;
  using opening = new DisposableStack();
  const access = { writable: writable && overlay === undefined, lock, direct, regular: false };
  let image: OpenedFile | undefined = hostDiskFiles.open(path, access);
  opening.defer(() => image?.store.close());
  const hasStore = overlay !== undefined && (writable || overlay.kind === 'file');
  const store = hasStore ? openOverlayFile(overlay, { writable, lock, direct }) : undefined;
  opening.defer(() => store?.close());
  const engine = openEngine(spec);
  opening.defer(() => engine?.close());
  const logs = openTableLogs(spec.tableLogs?.fd);
  // The name of the image in an overlay that is made; from inside of a jail no path can be found out.
  const base = overlay?.kind === 'file' ? resolve(path) : undefined;
  const resources = opening.move();
  return {
    finish() {
      using finishing = resources;
      const disk = openImage(spec, store === undefined ? logs : [], () => {
        const opened = image;
        image = undefined;
        return opened;
      });
      const made = finish(spec, store === undefined ? disk : over(disk, store, base, logs[0]), engine);
      finishing.move();
      return made;
    },
  };
}

function finish(spec: BlockSpec, disk: Disk, engine: TransferEngine | undefined): MadeDevice {
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

/** The disk in an image, of which the first file is open already. */
function openImage(spec: BlockSpec, tableLogs: readonly Uint8Array[], takeFirst: () => OpenedFile | undefined): Disk {
  const { path, overlay, format, trust, writable, lock, direct, broker } = spec;
  const others = broker === undefined ? hostDiskFiles : brokeredDiskFiles(broker.fd);
  const files = { ...others, open: (name: string, access: FileAccess) => takeFirst() ?? others.open(name, access) };
  try {
    const how = { format, trust, lock, direct, tableLogs, writable: writable && overlay === undefined };
    return openDisk({ files, codec: imageCodec }, path, how);
  } finally {
    if (broker !== undefined) close(broker.fd);
  }
}

function over(base: Disk, store: HostFile, basePath: string | undefined, memory: Uint8Array | undefined): Disk {
  try {
    const log = memory && new TableLog(memory, identityOf(store.fd));
    return openOverlay(imageCodec, base, store, basePath, log);
  } catch (error) {
    base.close();
    throw error;
  }
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

/** The logs in a memfd, which is closed and stays mapped until the process ends. */
function openTableLogs(fd: number | undefined): readonly Uint8Array[] {
  if (fd === undefined) return [];
  try {
    const all = new Uint8Array(view(mmap({ length: TABLE_LOGS_SIZE, fd }), TABLE_LOGS_SIZE));
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
