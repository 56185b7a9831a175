import { CrosvmError } from '../../errors.ts';
import { l1EntriesFor } from './header.ts';
import { MAX_L1_BYTES } from './layout.ts';
import type { Parts } from './parts.ts';

const SECTOR = 512;

/**
 * Changes the virtual size. What lies beyond a smaller size is given back; what a larger one adds reads as zeroes, even
 * if a backing file has something there. `zero` makes a range read as zeroes. Throws `E_DISK_RESIZE`.
 */
export function resizeImage(parts: Parts, size: number, zero: (at: number, length: number) => void): void {
  const { image, backing } = parts;
  const { header } = image;
  const old = header.size;
  checkSize(parts, size);
  if (size < old) {
    zero(size, old - size);
    parts.writeBack.flush();
  } else growL1(parts, l1EntriesFor(header, size));
  if (image.hasDataFile && parts.data.growsWithZeroes) parts.data.resize(size);
  const hidden = backing === undefined ? 0 : Math.min(backing.size, size) - old;
  header.size = size;
  if (hidden > 0) {
    zero(old, hidden);
    parts.writeBack.flush();
  }
  image.writeSize();
  parts.writeBack.barrier();
}

function checkSize({ image }: Parts, size: number): void {
  const { header, name } = image;
  const fail = (why: string) => new CrosvmError('E_DISK_RESIZE', `${name}: ${why}`);
  if (!Number.isSafeInteger(size) || size < 0 || size % SECTOR !== 0) {
    throw fail(`a size of ${size} bytes is no multiple of ${SECTOR}`);
  }
  if (l1EntriesFor(header, size) * 8 > MAX_L1_BYTES) throw fail(`${size} bytes are too many for this cluster size`);
  // Only version 3 notes the size of the disk in each snapshot.
  if (header.snapshotCount > 0 && header.version === 2)
    throw fail('an image of version 2 with snapshots keeps its size');
}

/** A longer L1 table lies elsewhere; the header leads there once it is on the medium. */
function growL1(parts: Parts, entries: number): void {
  const { image, mapping, allocator, metadata, writeBack } = parts;
  const { header, clusterSize } = image;
  if (entries <= header.l1Size) return;
  const oldClusters = image.clustersFor(header.l1Size * 8);
  const clusters = image.clustersFor(entries * 8);
  writeBack.flush();
  const table = mapping.l1.resized(entries);
  let offset = header.l1Offset;
  if (clusters > oldClusters) {
    offset = allocator.allocateRow(clusters);
    image.store.zeroRange(offset, clusters * clusterSize);
    metadata.add(offset / clusterSize, clusters);
  }
  table.writeAll(image.store, offset);
  writeBack.writeTables();
  writeBack.barrier();
  const old = header.l1Offset;
  header.l1Offset = offset;
  header.l1Size = entries;
  image.writeL1();
  mapping.l1 = table;
  writeBack.barrier();
  if (offset !== old && oldClusters > 0) allocator.free(old, oldClusters);
}
