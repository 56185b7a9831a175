/** Shared memory regions of a virtio device (VIRTIO 1.3, 2.10 and 4.1.4.7): one BAR holds them all. */
import { CrosvmError } from '../../errors.ts';

/** A part of the BAR. */
export interface SharedMemoryRegion {
  /** What the device and its driver call it: 0-255. */
  readonly id: number;
  readonly offset: number;
  /** In bytes, whole pages. */
  readonly length: number;
}

/** Survives structured clone. */
export interface SharedMemoryBar {
  /** In bytes, a power of two. */
  readonly size: number;
  readonly regions: readonly SharedMemoryRegion[];
}

/** Of the BAR; it takes the place of the next as well. */
export const SHARED_MEMORY_BAR = 2;

const PAGE = 4096;
/** Regions start where a guest can map large pages. */
const UNIT = 2 << 20;
/** The most bytes of all regions together, far beyond what any device has. */
const MAX_SIZE = 2 ** 40;

/** The BAR for regions of these sizes by their ids, where 0 stands for none. Throws `E_SHARED_MEMORY`. */
export function sharedMemoryBar(sizes: readonly number[]): SharedMemoryBar | undefined {
  const regions: SharedMemoryRegion[] = [];
  let end = 0;
  for (const [id, length] of sizes.entries()) {
    if (length === 0) continue;
    regions.push({ id, offset: end, length });
    end += Math.ceil(length / UNIT) * UNIT;
    if (length % PAGE !== 0 || !(length > 0) || !(end <= MAX_SIZE)) {
      throw new CrosvmError('E_SHARED_MEMORY', `a device cannot have ${length} bytes of shared memory`);
    }
  }
  return regions.length === 0 ? undefined : { size: 2 ** Math.ceil(Math.log2(end)), regions };
}
