import type { ScatterList } from '../../memory/scatter-list.ts';

/** Names of VIRTIO_BALLOON_S_ tags by number (VIRTIO 1.3, 5.5.6.4). Sizes are in bytes, the others counts. */
export const BALLOON_STATS = [
  'swapIn',
  'swapOut',
  'majorFaults',
  'minorFaults',
  'freeMemory',
  'totalMemory',
  'availableMemory',
  'diskCaches',
  'hugetlbAllocations',
  'hugetlbFailures',
] as const;

/** What a guest says of its memory; what it did not say is not there. */
export type BalloonStats = { readonly [tag in (typeof BALLOON_STATS)[number]]?: number };

/** u16 tag, u64 value. */
const ENTRY_SIZE = 10;
const MAX_ENTRIES = 64;

const bytes = new Uint8Array(ENTRY_SIZE * MAX_ENTRIES);
const view = new DataView(bytes.buffer);

/** Reads what a driver has put into its buffer; entries that it does not know and those beyond 2^53 are left out. */
export function readStats(list: ScatterList): BalloonStats {
  const stats: { -readonly [tag in keyof BalloonStats]: number } = {};
  const end = list.copyTo(bytes) - ENTRY_SIZE;
  for (let at = 0; at <= end; at += ENTRY_SIZE) {
    const tag = BALLOON_STATS[view.getUint16(at, true)];
    const value = Number(view.getBigUint64(at + 2, true));
    if (tag !== undefined && Number.isSafeInteger(value)) stats[tag] = value;
  }
  return stats;
}
