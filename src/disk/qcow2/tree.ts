import { ClusterSet } from './cluster-set.ts';
import type { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { L2Entry } from './l2-entry.ts';

/** Part of the file that an L1 table leads to: an L2 table, a cluster of guest data, or compressed data. */
export interface TreeRange {
  readonly isTable: boolean;
  readonly offset: number;
  readonly bytes: number;
}

/** Everything that an L1 table leads to, as it is in the file. Throws `E_DISK_CORRUPT` for what cannot be. */
export function* treeRanges(image: ImageFile, l1: EntryTable): Generator<TreeRange> {
  const { clusterSize, l2EntrySize } = image;
  const entry = new L2Entry(image);
  const seen = new ClusterSet();
  for (let i = 0; i < l1.length; i++) {
    const offset = l1.offset(i);
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) throw image.corrupt(`the L2 table at offset ${offset} is not aligned`);
    if (!seen.add(offset / clusterSize)) throw image.corrupt(`an L1 table leads to the L2 table at ${offset} twice`);
    const table = image.readTable('an L2 table', offset, clusterSize);
    yield { isTable: true, offset, bytes: clusterSize };
    const view = new DataView(table.buffer);
    for (let at = 0; at < clusterSize; at += l2EntrySize) {
      entry.load(view, at);
      const problem = entry.problem();
      if (problem !== undefined) throw image.corrupt(problem);
      if (entry.compressed) {
        const { offset: from, length } = entry.compressedRange();
        yield { isTable: false, offset: from, bytes: length };
      } else if (entry.hasCluster && !image.hasDataFile)
        yield { isTable: false, offset: entry.host, bytes: clusterSize };
    }
  }
}
