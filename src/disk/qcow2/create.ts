import { CrosvmError } from '../../errors.ts';
import type { ByteStore } from '../byte-store.ts';
import type { CompressionType } from '../codec.ts';
import { type Header, l1EntriesFor } from './header.ts';
import { encodeHeader } from './header-writer.ts';
import {
  AUTOCLEAR_DATA_FILE_RAW,
  COMPATIBLE_LAZY_REFCOUNTS,
  INCOMPATIBLE_COMPRESSION,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MIN_CLUSTER_BITS,
} from './layout.ts';
import { writeRefcount } from './refcount-block.ts';

/** What a new image is like. */
export interface CreateOptions {
  /** Bytes; rounded up to whole sectors of 512. */
  readonly size: number;
  readonly version?: 2 | 3;
  /** 512 bytes to 2 MiB, a power of two. */
  readonly clusterSize?: number;
  /** 1 to 64, a power of two. */
  readonly refcountBits?: number;
  readonly lazyRefcounts?: boolean;
  readonly extendedL2?: boolean;
  readonly compression?: CompressionType;
  /** As it shall stand in the image; its format has to be given too. */
  readonly backingFile?: string;
  readonly backingFormat?: string;
  /** Name of the file that has the guest's data. */
  readonly dataFile?: string;
  /** The data file by itself is a raw image of the same contents. */
  readonly dataFileRaw?: boolean;
}

/** Writes a new, empty image to `store`, which is empty. Throws `E_DISK_OPTION` for options that do not fit together. */
export function createQcow2(store: ByteStore, options: CreateOptions): void {
  const header = newHeader(store.name, options);
  const clusterSize = 2 ** header.clusterBits;
  const l1Clusters = Math.ceil((header.l1Size * 8) / clusterSize);
  // Header, refcount table, refcount blocks, L1 table.
  const perBlock = (clusterSize * 8) / 2 ** header.refcountOrder;
  let blocks = 1;
  let tableClusters = 1;
  let used = 0;
  for (;;) {
    used = 1 + tableClusters + blocks + l1Clusters;
    const blocksNeeded = Math.ceil(used / perBlock);
    const tableNeeded = Math.ceil((blocksNeeded * 8) / clusterSize);
    if (blocksNeeded <= blocks && tableNeeded <= tableClusters) break;
    blocks = Math.max(blocks, blocksNeeded);
    tableClusters = Math.max(tableClusters, tableNeeded);
  }
  header.refcountTableOffset = clusterSize;
  header.refcountTableClusters = tableClusters;
  const blocksAt = 1 + tableClusters;
  header.l1Offset = (blocksAt + blocks) * clusterSize;

  const table = new DataView(new ArrayBuffer(tableClusters * clusterSize));
  for (let i = 0; i < blocks; i++) table.setBigUint64(i * 8, BigInt((blocksAt + i) * clusterSize));
  const counts = new DataView(new ArrayBuffer(blocks * clusterSize));
  for (let i = 0; i < used; i++) writeRefcount(counts, header.refcountOrder, i, 1);
  store.write(clusterSize, new Uint8Array(table.buffer));
  store.write(blocksAt * clusterSize, new Uint8Array(counts.buffer));
  if (l1Clusters > 0) store.zeroRange(header.l1Offset, l1Clusters * clusterSize);
  // The magic last: until here this is no image.
  store.flush();
  store.write(0, encodeHeader(store.name, header));
  store.flush();
}

function newHeader(name: string, options: CreateOptions): Header {
  const { version = 3, clusterSize = 65536, refcountBits = 16, extendedL2 = false, compression = 'zlib' } = options;
  const fail = (why: string) => new CrosvmError('E_DISK_OPTION', `${name}: ${why}`);
  const clusterBits = Math.log2(clusterSize);
  if (!Number.isInteger(clusterBits) || clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw fail(`a cluster size of ${clusterSize} is not a power of two between 512 and 2M`);
  }
  const refcountOrder = Math.log2(refcountBits);
  if (![0, 1, 2, 3, 4, 5, 6].includes(refcountOrder)) {
    throw fail(`reference counts of ${refcountBits} bits; they have 1, 2, 4, 8, 16, 32 or 64`);
  }
  const { dataFile, dataFileRaw = false, lazyRefcounts = false, backingFile, backingFormat } = options;
  const needs3 = refcountBits !== 16 || lazyRefcounts || extendedL2 || compression !== 'zlib' || dataFile !== undefined;
  if (version === 2 && needs3) throw fail('version 2 has none of the options that version 3 brought');
  if (extendedL2 && clusterSize < 16384) throw fail('extended L2 entries need clusters of at least 16 KiB');
  if (dataFileRaw && dataFile === undefined) throw fail('a raw data file needs a data file');
  if (dataFileRaw && backingFile !== undefined) throw fail('a raw data file leaves no room for a backing file');
  if (backingFile !== undefined && backingFormat === undefined) throw fail('the format of the backing file is missing');
  if (!Number.isSafeInteger(options.size) || options.size < 0) throw fail(`a size of ${options.size} bytes`);
  const size = Math.ceil(options.size / 512) * 512;
  const incompatible =
    (dataFile === undefined ? 0 : INCOMPATIBLE_DATA_FILE) |
    (compression === 'zlib' ? 0 : INCOMPATIBLE_COMPRESSION) |
    (extendedL2 ? INCOMPATIBLE_EXTENDED_L2 : 0);
  const l1Size = l1EntriesFor({ clusterBits, incompatible }, size);
  if (l1Size * 8 > MAX_L1_BYTES) throw fail(`${size} bytes are too many for clusters of ${clusterSize} bytes`);
  return {
    version,
    clusterBits,
    size,
    l1Size,
    l1Offset: 0,
    refcountTableOffset: 0,
    refcountTableClusters: 0,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatible,
    compatible: lazyRefcounts ? COMPATIBLE_LAZY_REFCOUNTS : 0,
    autoclear: dataFileRaw ? AUTOCLEAR_DATA_FILE_RAW : 0,
    refcountOrder,
    compression,
    backingFile,
    backingFormat,
    dataFile,
    bitmaps: undefined,
    otherExtensions: [],
  };
}
