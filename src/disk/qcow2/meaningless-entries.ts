import type { ImageFile } from './image-file.ts';
import { L2Entry } from './l2-entry.ts';
import { LO_ZERO } from './layout.ts';
import type { References } from './references.ts';
import { WordPatcher } from './word-patcher.ts';

/**
 * Replaces entries of L2 tables that mean nothing, or lead out of the file, by zeroes: what they stood for is lost, and to
 * read it was an error. (Version 2 has no zeroes; there a backing file is seen.) What is a table and something else, too, is
 * left alone: one of the two would be destroyed.
 */
export function removeMeaninglessEntries(image: ImageFile, { counts, l2Tables }: References): void {
  const { clusterSize, l2EntrySize, store, extended, header } = image;
  const patcher = new WordPatcher(store);
  const entry = new L2Entry(image);
  const bytes = new Uint8Array(clusterSize);
  const view = new DataView(bytes.buffer);
  for (const [cluster, times] of l2Tables.entries()) {
    const table = cluster * clusterSize;
    if (counts.get(cluster) !== times || store.nextData(table) >= table + clusterSize) continue;
    store.read(table, bytes);
    for (let at = 0; at < clusterSize; at += l2EntrySize) {
      entry.load(view, at);
      if (entry.problem() === undefined && entry.misplacement() === undefined) continue;
      patcher.set(table + at, 0);
      patcher.set(table + at + 4, extended || header.version === 2 ? 0 : LO_ZERO);
      if (!extended) continue;
      patcher.set(table + at + 8, 0xffff_ffff);
      patcher.set(table + at + 12, 0);
    }
  }
  patcher.write();
}
