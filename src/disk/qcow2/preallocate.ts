import { CrosvmError } from '../../errors.ts';
import type { Progress } from '../tools/progress.ts';
import { SUBCLUSTERS } from './layout.ts';
import type { Qcow2Disk } from './qcow2-disk.ts';

/** What of the guest's data a new image has a place for: nothing, a place in its tables, on the host's disk too, or written zeroes. */
export const PREALLOCATIONS = ['off', 'metadata', 'falloc', 'full'] as const;
export type Preallocation = (typeof PREALLOCATIONS)[number];

/**
 * Gives every cluster of a new, empty image a place in its file, which reads as zeroes; `prepare` is called with each range of the
 * file, in order. With extended L2 entries subclusters stay unallocated, so that a backing file is seen through them. Throws
 * `E_DISK_OPTION` for images that cannot have that.
 */
export function preallocate(
  { parts }: Qcow2Disk,
  prepare: (offset: number, length: number) => void,
  progress: Progress = () => {},
): void {
  const { image, mapping, allocator } = parts;
  const { clusterSize, bytesPerL2, header, store } = image;
  const fail = (why: string) => new CrosvmError('E_DISK_OPTION', `${image.name}: preallocation ${why}`);
  if (image.hasDataFile) throw fail('is not for images with a data file');
  if (header.backingFile !== undefined && !image.extended) {
    throw fail('would hide the backing file; only extended L2 entries (extended_l2=on) can have both');
  }
  for (let at = 0; at < header.size; ) {
    mapping.makeWritable(at);
    const tableEnd = Math.min(header.size, (Math.floor(at / bytesPerL2) + 1) * bytesPerL2);
    const host = allocator.allocate(Math.ceil((tableEnd - at) / clusterSize));
    const length = allocator.count * clusterSize;
    prepare(host, length);
    if (host + length > store.size) store.resize(host + length);
    for (let done = 0; done < length; done += clusterSize) {
      mapping.setData(at + done, host + done, 0, image.extended ? 0 : SUBCLUSTERS);
    }
    at += length;
    progress(Math.min(at, header.size), header.size);
  }
}
