import type { ByteStore } from '../byte-store.ts';
import { CheckReport } from './check-report.ts';
import type { ClusterCounts } from './cluster-counts.ts';
import { fixCopiedFlags, wrongCopiedFlags } from './copied-flags.ts';
import type { Header } from './header.ts';
import { ImageFile } from './image-file.ts';
import { removeMeaninglessEntries } from './meaningless-entries.ts';
import { rebuildRefcounts } from './rebuild-refcounts.ts';
import { countReferences, type References } from './references.ts';
import { StoredRefcounts } from './stored-refcounts.ts';

/** What a check may change: nothing, counts that are too high, or all that it can set right. */
export type Repair = 'none' | 'leaks' | 'all';

/** What a check found; and, of that, what is left after repairs. */
export interface CheckResult {
  readonly found: CheckReport;
  readonly left: CheckReport;
}

/** Everything that one pass over an image learns. */
interface Inspection {
  readonly report: CheckReport;
  readonly references: References;
  readonly stored: StoredRefcounts;
}

/**
 * Checks the image in `store`, whose header is `header`, without opening it: reads all tables, and compares the
 * reference counts with the references. Repairs what `repair` allows, which needs a store that may be written.
 */
export function checkImage(store: ByteStore, header: Header, repair: Repair = 'none'): CheckResult {
  const image = new ImageFile(store, header);
  const before = inspect(image);
  const { errors, leaks } = before.report;
  if (repair === 'none') return { found: before.report, left: before.report };
  if (errors + leaks > 0) repairImage(image, before, repair);
  const after = errors + leaks > 0 ? inspect(image) : before;
  // Without errors there is nothing to warn of; lost clusters alone need no mark.
  if (after.report.errors === 0) image.markSound();
  store.flush();
  return { found: before.report, left: after.report };
}

function repairImage(image: ImageFile, { references, stored }: Inspection, repair: Repair): void {
  const { counts, l1 } = references;
  image.markDirty();
  image.store.flush();
  if (repair === 'all') removeMeaninglessEntries(image, references);
  const lowered = (cluster: number) => Math.min(stored.get(cluster), counts.get(cluster));
  rebuildRefcounts(image, counts, repair === 'all' ? (cluster) => counts.get(cluster) : lowered);
  if (repair === 'all') fixCopiedFlags(image, l1, counts);
  image.store.flush();
}

function inspect(image: ImageFile): Inspection {
  const report = new CheckReport();
  report.totalClusters = image.clustersFor(image.header.size);
  const references = countReferences(image, report);
  const stored = new StoredRefcounts(image, report);
  compareCounts(report, references.counts, stored);
  for (const { table, at } of wrongCopiedFlags(image, references.l1, references.counts)) {
    const what = table ? 'an L2 table' : 'guest data';
    report.error(`the entry of ${what} at offset ${at} is wrong about being the only reference`);
  }
  report.imageEnd = Math.max(references.counts.end, stored.own.end) * image.clusterSize;
  return { report, references, stored };
}

/** Compares all counts with the references. */
function compareCounts(report: CheckReport, counts: ClusterCounts, stored: StoredRefcounts): void {
  const { perBlock, own } = stored;
  const end = Math.max(counts.end, own.end);
  const blocks = Math.max(stored.blocks, Math.ceil(end / perBlock));
  for (let block = 0; block < blocks; block++) {
    const from = block * perBlock;
    // Files have large holes, and blocks a great many counts.
    const to = Math.min(from + perBlock, Math.max(end, from + stored.usedIn(block)));
    if (stored.isEmpty(block) && !counts.mayHave(from, to) && !own.mayHave(from, to)) continue;
    for (let cluster = from; cluster < to; cluster++) {
      const references = counts.get(cluster) + own.get(cluster);
      const count = stored.get(cluster);
      if (count === references) continue;
      const message = `cluster ${cluster} has the reference count ${count}, and ${references} references`;
      if (count > references) report.leak(message);
      else report.error(message);
    }
  }
}
