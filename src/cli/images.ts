/** What commands on disk images share: opening them, making them, and showing how far the work has come. */
import { dirname, resolve } from 'node:path';
import { hostDiskFiles } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { imageCodec } from '../base/image-codec.ts';
import { ThreadPacker } from '../base/thread-packer.ts';
import type { Disk } from '../disk/disk.ts';
import { type DiskWorld, type OpenDiskOptions, openDisk } from '../disk/open-disk.ts';
import { type CreateOptions, createQcow2 } from '../disk/qcow2/create.ts';
import { readHeader } from '../disk/qcow2/open.ts';
import { type Preallocation, preallocate } from '../disk/qcow2/preallocate.ts';
import { Qcow2Disk } from '../disk/qcow2/qcow2-disk.ts';
import { LocalPacker, type Packer } from '../disk/tools/packer.ts';
import type { Progress } from '../disk/tools/progress.ts';
import { CrosvmError } from '../errors.ts';
import type { Qcow2Keys } from './options/image.ts';

export const hostWorld: DiskWorld = { files: hostDiskFiles, codec: imageCodec };

/** Runs `work` with a disk that is closed afterwards. */
export function withDisk<T>(path: string, options: OpenDiskOptions, work: (disk: Disk) => T): T {
  const disk = openDisk(hostWorld, path, { lock: true, ...options });
  try {
    return work(disk);
  } finally {
    disk.close();
  }
}

/**
 * Makes the file `path`, which must not exist, and has `fill` write to it. It appears when it is complete, and not at all
 * if that fails. As with other programs that make files, the system writes it to the medium when it likes.
 */
export async function makeFile<T>(path: string, fill: (file: HostFile) => T | Promise<T>): Promise<T> {
  const file = HostFile.unpublished(path);
  try {
    const result = await fill(file);
    file.publish();
    return result;
  } catch (error) {
    file.abandon();
    throw error;
  } finally {
    file.close();
  }
}

/** An empty qcow2 image in `file`. */
export function newQcow2(
  file: HostFile,
  options: CreateOptions,
  preallocation: Preallocation = 'off',
  progress?: Progress,
): Qcow2Disk {
  createQcow2(file, options);
  const disk = new Qcow2Disk(file, readHeader(file), { codec: imageCodec });
  if (preallocation !== 'off') preallocate(disk, PREPARE[preallocation](file), progress);
  return disk;
}

/** What is done with each range of the file that will hold data. */
const PREPARE: Readonly<Record<Exclude<Preallocation, 'off'>, (file: HostFile) => (at: number, n: number) => void>> = {
  metadata: () => () => {},
  falloc: (file) => (offset, length) => {
    if (file.allocate(offset, length)) return;
    throw new CrosvmError('E_DISK_OPTION', `${file.name}: its file system has no preallocation=falloc`);
  },
  full: (file) => (offset, length) => {
    for (let done = 0; done < length; done += ZEROES.length) {
      file.write(offset + done, ZEROES.subarray(0, Math.min(ZEROES.length, length - done)));
    }
  },
};

const ZEROES = new Uint8Array(1 << 20);

/** Disks of fewer bytes are compressed before threads have started. */
const WORTH_THREADS = { zlib: 16 << 20, zstd: 128 << 20 } as const;

/** Runs `use` with what compresses clusters of `target`. */
export async function withPacker(target: Qcow2Disk, use: (packer: Packer) => void): Promise<void> {
  const { header, clusterSize } = target.parts.image;
  if (header.size < WORTH_THREADS[header.compression])
    return use(new LocalPacker(imageCodec, header.compression, clusterSize));
  const packer = new ThreadPacker(header.compression, clusterSize);
  try {
    use(packer);
  } finally {
    await packer.close();
  }
}

/** Makes an empty qcow2 image and, if it has one, its data file. */
export async function makeQcow2(path: string, options: CreateOptions, preallocation?: Preallocation): Promise<void> {
  const make = () => makeFile(path, (file) => newQcow2(file, options, preallocation).finish());
  if (options.dataFile === undefined) return make();
  await makeFile(resolve(dirname(path), options.dataFile), async (data) => {
    data.resize(options.size);
    await make();
  });
}

/** The keys of `-o` as options of a new image; those that were not given are left out. */
export function createOptions(size: number, keys: Qcow2Keys | undefined): CreateOptions {
  const all = {
    size,
    version: keys?.compat,
    clusterSize: keys?.cluster_size,
    refcountBits: keys?.refcount_bits,
    lazyRefcounts: keys?.lazy_refcounts,
    extendedL2: keys?.extended_l2,
    compression: keys?.compression_type,
    backingFile: keys?.backing_file,
    backingFormat: keys?.backing_fmt,
    dataFile: keys?.data_file,
    dataFileRaw: keys?.data_file_raw,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as CreateOptions;
}

/** The virtual size of the backing file that a new image at `path` will have; named by the user, so it is trusted. */
export function backingSize(path: string, name: string, format: Disk['format'] | undefined): [number, Disk['format']] {
  const options = { format, trust: { outside: true, probe: true, dataFile: true } };
  return withDisk(resolve(dirname(path), name), options, (disk) => [disk.size, disk.format]);
}
