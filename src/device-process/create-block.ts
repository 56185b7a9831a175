import { resolve } from 'node:path';
import { close } from '../base/fd.ts';
import { hostDiskFiles, identityOf } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { imageCodec } from '../base/image-codec.ts';
import { IoUring } from '../base/io-uring.ts';
import { mmap, view } from '../base/mmap.ts';
import type { Disk } from '../disk/disk.ts';
import { openDiskIn } from '../disk/open-disk.ts';
import { openOverlay } from '../disk/overlay.ts';
import { MAX_TABLE_LOGS, TABLE_LOG_SIZE, TABLE_LOGS_SIZE, TableLog } from '../disk/qcow2/table-log.ts';
import type { TransferEngine } from '../disk/transfer-engine.ts';
import { CrosvmError } from '../errors.ts';
import { BlockDevice } from '../virtio/block/block-device.ts';
import { type BlockSpec, type OpenFile, preferredExecutor } from './device-spec.ts';
import { brokeredDiskFiles } from './file-broker.ts';
import type { MadeDevice, PreparedDevice } from './made-device.ts';

/** Requests that io_uring has at a time: as many as a queue. */
const RING_ENTRIES = 256;

/** Gets a ring. The files in `spec` become the device's, which reads them when it is made. Throws `E_IO_URING`. */
export function prepareBlock(spec: BlockSpec): PreparedDevice {
  const engine = openEngine(spec);
  const logs = openTableLogs(spec.tableLogs?.fd);
  // The name of the image in an overlay that is made; in a jail the folder that paths start at is another one.
  const imagePath = resolve(spec.path);
  return {
    finish() {
      try {
        return finish(spec, openDisk(spec, imagePath, logs), engine);
      } catch (error) {
        engine?.close();
        throw error;
      }
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

function openEngine(spec: BlockSpec): TransferEngine | undefined {
  if (preferredExecutor(spec) === 'epoll') return undefined;
  const ring = IoUring.open(RING_ENTRIES);
  if (ring !== undefined || spec.executor === undefined) return ring;
  throw new CrosvmError(
    'E_IO_URING',
    `${spec.path}: async-executor=uring: the host does not let us use io_uring (it needs Linux 5.10; see sysctl kernel.io_uring_disabled)`,
  );
}

function openDisk(spec: BlockSpec, imagePath: string, logs: readonly Uint8Array[]): Disk {
  const { written, overlay, writable, direct } = spec;
  if (written === undefined || overlay === undefined) return openImage(spec, logs);
  const base = openImage(spec, []);
  const isTemporary = overlay.kind === 'temporary';
  const name = isTemporary ? 'a temporary file' : overlay.path;
  const store = HostFile.fromDescriptors(name, fdsOf(written), { writable, direct, unsafe: isTemporary });
  try {
    const log = logs[0] && new TableLog(logs[0], identityOf(store.fd));
    return openOverlay(imageCodec, base, store, isTemporary ? undefined : imagePath, log);
  } catch (error) {
    store.close();
    base.close();
    throw error;
  }
}

/** The disk in the image, with all that the image refers to. */
function openImage(spec: BlockSpec, tableLogs: readonly Uint8Array[]): Disk {
  const { path, image, overlay, format, trust, writable, lock, direct, broker } = spec;
  const how = { format, trust, lock, direct, tableLogs, writable: writable && overlay === undefined };
  const store = HostFile.fromDescriptors(path, fdsOf(image), { ...how, blockDevice: true });
  const files = broker === undefined ? hostDiskFiles : brokeredDiskFiles(broker.fd);
  try {
    const file = { store, path: image.realPath, identity: identityOf(store.fd) };
    return openDiskIn({ files, codec: imageCodec }, file, how);
  } finally {
    if (broker !== undefined) close(broker.fd);
  }
}

function fdsOf({ descriptors }: OpenFile): number[] {
  return descriptors.map(({ fd }) => fd);
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
