import type { ByteStore } from '../byte-store.ts';
import type { Codec } from '../codec.ts';
import type { Disk } from '../disk.ts';
import { Allocator } from './allocator.ts';
import { ClusterSet } from './cluster-set.ts';
import { CompressedClusters } from './compressed-clusters.ts';
import { EntryTable } from './entry-table.ts';
import type { Header } from './header.ts';
import { ImageFile } from './image-file.ts';
import { Mapping } from './mapping.ts';
import { Refcounts } from './refcounts.ts';
import { TableCache } from './table-cache.ts';
import type { TableLog } from './table-log.ts';
import { WriteBack } from './write-back.ts';

/** Memory for L2 tables: enough for 128 GiB with the usual clusters of 64 KiB, before tables are read again. */
const L2_CACHE_BYTES = 16 << 20;
const REFCOUNT_CACHE_BYTES = 4 << 20;

/** What an open image is made of. */
export interface Parts {
  readonly image: ImageFile;
  /** Where guest data lies: the image's own file, or its data file. */
  readonly data: ByteStore;
  /** What the image does not say, the backing file does. */
  readonly backing: Disk | undefined;
  readonly codec: Codec;
  /** Clusters that hold tables in use: guest data must never be written there. */
  readonly metadata: ClusterSet;
  readonly refcounts: Refcounts;
  readonly allocator: Allocator;
  readonly l2Cache: TableCache;
  readonly mapping: Mapping;
  readonly compressed: CompressedClusters;
  readonly writeBack: WriteBack;
  /** Where changes of tables are kept for a successor, if they are. */
  readonly log: TableLog | undefined;
}

export interface PartsOptions {
  readonly codec: Codec;
  readonly dataFile?: ByteStore | undefined;
  readonly backing?: Disk | undefined;
  /** Bytes for L2 tables in memory. */
  readonly l2CacheBytes?: number;
  /** One that was replayed. */
  readonly log?: TableLog | undefined;
}

/** Puts an image together; reads its L1 and refcount tables. Throws `E_DISK_CORRUPT` where tables overlap. */
export function loadParts(store: ByteStore, header: Header, options: PartsOptions): Parts {
  const image = new ImageFile(store, header);
  const { clusterSize } = image;
  const data = options.dataFile ?? store;
  const { log } = options;
  const metadata = new ClusterSet();
  const makeRoom = () => writeBack.writeTables();
  if (log !== undefined) log.onCrowded = makeRoom;
  const l1 = EntryTable.parse(image.readTable('the L1 table', header.l1Offset, header.l1Size * 8));
  // Who only reads needs no counts.
  const tableBytes = image.writable ? header.refcountTableClusters * clusterSize : 0;
  const refcountTable = EntryTable.parse(image.readTable('the refcount table', header.refcountTableOffset, tableBytes));
  const refcountCache = new TableCache(store, clusterSize, REFCOUNT_CACHE_BYTES, makeRoom);
  const refcounts = new Refcounts(image, refcountCache, metadata, refcountTable, log);
  const allocator = new Allocator(image, refcounts, metadata, () => writeBack);
  const l2Cache = new TableCache(store, clusterSize, options.l2CacheBytes ?? L2_CACHE_BYTES, makeRoom);
  const mapping = new Mapping(image, l2Cache, allocator, metadata, l1, log);
  const compressed = new CompressedClusters(image, options.codec);
  const writeBack: WriteBack = new WriteBack(image, data, { refcounts, allocator, l2Cache, mapping, log });
  if (image.writable) markTables(image, metadata, l1, refcountTable);
  const { codec, backing } = options;
  return { image, data, backing, codec, metadata, refcounts, allocator, l2Cache, mapping, compressed, writeBack, log };
}

/** Enters all tables into `metadata`, and finds those that overlap or lie nowhere. */
function markTables(image: ImageFile, metadata: ClusterSet, l1: EntryTable, refcountTable: EntryTable): void {
  const { header, clusterSize, store } = image;
  const mark = (what: string, offset: number, bytes: number) => {
    if (bytes === 0) return;
    const bad = offset % clusterSize !== 0 || offset + bytes > Math.ceil(store.size / clusterSize) * clusterSize;
    if (bad) throw image.corrupt(`${what} at offset ${offset} is not aligned, or not within the file`);
    if (!metadata.add(offset / clusterSize, image.clustersFor(bytes))) {
      throw image.corrupt(`${what} at offset ${offset} overlaps another table`);
    }
  };
  mark('the header', 0, clusterSize);
  mark('the refcount table', header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  mark('the L1 table', header.l1Offset, header.l1Size * 8);
  if (header.snapshotCount > 0) mark('the snapshot table', header.snapshotsOffset, 1);
  for (let i = 0; i < refcountTable.length; i++) {
    if (refcountTable.lo[i]! % 512 !== 0) throw image.corrupt(`refcount table entry ${i} has reserved bits set`);
    const offset = refcountTable.offset(i);
    if (offset !== 0) mark('a refcount block', offset, clusterSize);
  }
  for (let i = 0; i < l1.length; i++) {
    const offset = l1.offset(i);
    if (offset !== 0) mark('an L2 table', offset, clusterSize);
  }
}
