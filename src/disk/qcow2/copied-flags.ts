import { ClusterSet } from './cluster-set.ts';
import type { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import { L2Entry } from './l2-entry.ts';
import { HI_COPIED } from './layout.ts';
import { WordPatcher } from './word-patcher.ts';

/** How often a cluster is referenced. */
interface Counts {
  get(cluster: number): number;
}

/** An entry whose flag "referenced exactly once" is not as it should be. */
interface WrongFlag {
  /** The entry is about an L2 table or about guest data. */
  readonly table: boolean;
  /** Offset in the file of the entry's upper half, and what it should be. */
  readonly at: number;
  readonly hi: number;
}

/** Compares the flags of the active L1 table and its L2 tables, as they are in the file, with `counts`. */
export function* wrongCopiedFlags(image: ImageFile, l1: EntryTable, counts: Counts): Generator<WrongFlag> {
  const { clusterSize, store, header } = image;
  const seen = new ClusterSet();
  for (let i = 0; i < l1.length; i++) {
    const l2 = l1.offset(i);
    // What cannot be a table was found before.
    if (l2 === 0 || l2 % clusterSize !== 0 || l2 + clusterSize > store.size) continue;
    const hi = flagged(l1.hi[i]!, counts.get(l2 / clusterSize) === 1);
    if (hi !== l1.hi[i]) yield { table: true, at: header.l1Offset + i * 8, hi };
    // Many entries of a bad table may lead to one and the same.
    if (!image.hasDataFile && seen.add(l2 / clusterSize)) yield* wrongInL2(image, l2, counts);
  }
}

function* wrongInL2(image: ImageFile, l2: number, counts: Counts): Generator<WrongFlag> {
  const { clusterSize, store, l2EntrySize } = image;
  if (store.nextData(l2) >= l2 + clusterSize) return;
  const bytes = new Uint8Array(clusterSize);
  store.read(l2, bytes);
  const view = new DataView(bytes.buffer);
  const entry = new L2Entry(image);
  for (let at = 0; at < clusterSize; at += l2EntrySize) {
    entry.load(view, at);
    if (entry.problem() !== undefined) continue;
    const once = entry.hasCluster && counts.get(entry.host / clusterSize) === 1;
    const hi = flagged(entry.hi, once);
    if (hi !== entry.hi) yield { table: false, at: l2 + at, hi };
  }
}

/** Sets all flags right, in the file. */
export function fixCopiedFlags(image: ImageFile, l1: EntryTable, counts: Counts): void {
  const patcher = new WordPatcher(image.store);
  for (const { at, hi } of wrongCopiedFlags(image, l1, counts)) patcher.set(at, hi);
  patcher.write();
}

function flagged(hi: number, once: boolean): number {
  return (once ? hi | HI_COPIED : hi & ~HI_COPIED) >>> 0;
}
