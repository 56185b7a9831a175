import { CrosvmError } from '../../errors.ts';
import type { ClusterCounts } from './cluster-counts.ts';
import { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { MAX_REFCOUNT_TABLE_BYTES } from './layout.ts';
import { maxRefcount, writeRefcount } from './refcount-block.ts';

/**
 * Writes the reference counts anew, with a table and blocks at the end of the file, and leads the header there once
 * they are on the medium. `wanted` says the new count of a cluster, which is 0 for all that have no `references`; the old
 * table and blocks are free then.
 */
export function rebuildRefcounts(
  image: ImageFile,
  references: ClusterCounts,
  wanted: (cluster: number) => number,
): void {
  const { clusterSize, store, header } = image;
  const perBlock = (clusterSize * 8) / 2 ** header.refcountOrder;
  const first = image.clustersFor(store.size);
  // Blocks for what is there, then for themselves and the table behind them.
  const inUse = usedBlocks(references, perBlock, wanted);
  let own = 0;
  let tableClusters = 0;
  let blocks = inUse;
  for (;;) {
    const last = Math.floor((first + own) / perBlock);
    blocks = new Set(inUse);
    for (let b = Math.floor(first / perBlock); b <= last; b++) blocks.add(b);
    tableClusters = Math.ceil(((Math.max(last, maxOf(blocks)) + 1) * 8) / clusterSize);
    const needed = blocks.size + tableClusters;
    if (needed <= own) break;
    own = needed;
  }
  if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
    throw new CrosvmError(
      'E_DISK_FULL',
      `${image.name}: the file is too long for reference counts with this cluster size`,
    );
  }
  const table = new EntryTable((tableClusters * clusterSize) / 8);
  const bytes = new Uint8Array(clusterSize);
  const view = new DataView(bytes.buffer);
  const max = maxRefcount(header.refcountOrder);
  let at = first;
  for (const block of [...blocks].sort((a, b) => a - b)) {
    for (let i = 0; i < perBlock; i++) {
      const cluster = block * perBlock + i;
      const isOwn = cluster >= first && cluster < first + own;
      const count = isOwn ? 1 : wanted(cluster);
      if (count > max) {
        throw new CrosvmError(
          'E_DISK_REFCOUNT',
          `${image.name}: cluster ${cluster} has ${count} references, more than fit`,
        );
      }
      writeRefcount(view, header.refcountOrder, i, count);
    }
    store.write(at * clusterSize, bytes);
    table.set(block, at * clusterSize);
    at++;
  }
  const tableOffset = (first + own - tableClusters) * clusterSize;
  table.writeAll(store, tableOffset);
  store.flush();
  header.refcountTableOffset = tableOffset;
  header.refcountTableClusters = tableClusters;
  image.writeRefcountTable();
  store.flush();
}

/** The blocks that have a count which is not 0. */
function usedBlocks(references: ClusterCounts, perBlock: number, wanted: (cluster: number) => number): Set<number> {
  const blocks = new Set<number>();
  for (const [cluster] of references.entries()) {
    if (wanted(cluster) > 0) blocks.add(Math.floor(cluster / perBlock));
  }
  return blocks;
}

function maxOf(values: Iterable<number>): number {
  let max = 0;
  for (const value of values) max = Math.max(max, value);
  return max;
}
