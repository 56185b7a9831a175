/** Requests to a disk image, as a block device makes them, for `bench/disk.ts`. */
import { hostDiskFiles } from '../src/base/host-disk-files.ts';
import { imageCodec } from '../src/base/image-codec.ts';
import { IoUring } from '../src/base/io-uring.ts';
import { mmap, view } from '../src/base/mmap.ts';
import type { Disk } from '../src/disk/disk.ts';
import { DiskQueue, DONE } from '../src/disk/disk-queue.ts';
import { openDisk } from '../src/disk/open-disk.ts';
import { type HostMemory, ScatterList } from '../src/memory/scatter-list.ts';
import type { Sample } from './comparison.ts';

/** What `qemu-img bench` can be told as well: each request begins `step` bytes behind the one before. */
export interface Requests {
  readonly format: 'raw' | 'qcow2';
  readonly write: boolean;
  readonly count: number;
  /** Bytes of each. */
  readonly length: number;
  readonly step: number;
  /** How many are under way at a time. */
  readonly depth: number;
  /** Past the page cache. */
  readonly direct: boolean;
}

/** Carries them out on the image at `path`; its disk has `size` bytes. */
export function runRequests(path: string, size: number, requests: Requests): Sample {
  const { format, write, direct, length, depth } = requests;
  const disk = openDisk({ files: hostDiskFiles, codec: imageCodec }, path, { writable: write, format, direct });
  const memory = requestMemory(length * depth);
  const lists = Array.from({ length: depth }, (_, i) => {
    const list = new ScatterList();
    list.add(memory, i * length, length);
    return list;
  });
  const cpu = process.cpuUsage();
  const start = performance.now();
  // In the page cache all is done at once anyway, and the ring only costs.
  if (direct && depth > 1) runMany(disk, size, requests, lists);
  else for (const offset of offsets(size, requests)) transfer(disk, write, offset, lists[0]!);
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  disk.close();
  return { seconds, cpuSeconds: (user + system) / 1e6 };
}

/** Page-aligned memory, as guests have it; one for all runs, as a view of it must not outlive it. */
let memory = { bytes: new Uint8Array(0), address: 0 };
function requestMemory(length: number): HostMemory {
  if (memory.bytes.length < length) {
    const address = mmap({ length });
    memory = { bytes: new Uint8Array(view(address, length)), address };
  }
  return memory;
}

function transfer(disk: Disk, write: boolean, offset: number, list: ScatterList): void {
  if (write) disk.write(offset, list);
  else disk.read(offset, list);
}

function runMany(disk: Disk, size: number, requests: Requests, lists: readonly ScatterList[]): void {
  const ring = IoUring.open(lists.length);
  if (ring === undefined) throw new Error('this kernel has no io_uring for us');
  const free = [...lists];
  const lent: ScatterList[] = [];
  const queue = new DiskQueue(disk, ring, (slot, error) => {
    if (error !== undefined) throw error;
    free.push(lent[slot]!);
  });
  for (const offset of offsets(size, requests)) {
    if (free.length === 0) {
      queue.submit();
      for (queue.collect(); free.length === 0; queue.collect()) ring.wait();
    }
    const list = free.pop()!;
    const slot = requests.write ? queue.write(offset, list) : queue.read(offset, list);
    if (slot === DONE) free.push(list);
    else lent[slot] = list;
  }
  queue.drain();
  ring.close();
}

function* offsets(size: number, { count, length, step }: Requests): Generator<number> {
  let offset = 0;
  for (let i = 0; i < count; i++) {
    yield offset;
    offset = (offset + step) % size;
    if (offset + length > size) offset = 0;
  }
}
