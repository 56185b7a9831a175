import type { CompressionType } from '../codec.ts';
import { type DiskFormat, formatError, unsupported } from '../disk.ts';
import {
  EXTENSION_BACKING_FORMAT,
  EXTENSION_BITMAPS,
  EXTENSION_DATA_FILE,
  EXTENSION_ENCRYPTION,
  EXTENSION_END,
  EXTENSION_FEATURE_NAMES,
  INCOMPATIBLE_COMPRESSION,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
  KNOWN_INCOMPATIBLE,
  MAX_BACKING_NAME,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MAX_REFCOUNT_ORDER,
  MAX_REFCOUNT_TABLE_BYTES,
  MAX_SNAPSHOTS,
  MIN_CLUSTER_BITS,
  QCOW_MAGIC,
  TWO_32,
  V2_HEADER_LENGTH,
  V3_HEADER_LENGTH,
} from './layout.ts';

const COMPRESSION_TYPES: readonly CompressionType[] = ['zlib', 'zstd'];

/** A header extension that we only carry along. */
export interface HeaderExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The header of an image, in the specification's order. Changes while the image is in use. */
export interface Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  size: number;
  /** Entries of the active L1 table. */
  l1Size: number;
  l1Offset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  snapshotCount: number;
  snapshotsOffset: number;
  incompatible: number;
  compatible: number;
  autoclear: number;
  readonly refcountOrder: number;
  readonly compression: CompressionType;
  /** A name as the image has it; nobody has looked at it yet. */
  backingFile: string | undefined;
  backingFormat: string | undefined;
  readonly dataFile: string | undefined;
  bitmaps: BitmapsExtension | undefined;
  readonly otherExtensions: readonly HeaderExtension[];
}

/** The bitmaps extension: a directory of `count` entries. */
export interface BitmapsExtension {
  readonly count: number;
  readonly directorySize: number;
  readonly directoryOffset: number;
}

/** Formats by the names that images use for them. */
export const BACKING_FORMAT_NAMES: Readonly<Record<string, DiskFormat>> = {
  raw: 'raw',
  file: 'raw',
  host_device: 'raw',
  qcow2: 'qcow2',
  composite: 'composite',
  'android-sparse': 'android-sparse',
  zstd: 'zstd',
};

/** How much of a file `parseHeader` wants: a cluster, which ends the header, is at least as long as any we accept. */
export const HEADER_READ_LENGTH = 65536;

/**
 * Reads the header from the first bytes of the image `name` (up to HEADER_READ_LENGTH of them). Throws
 * `E_DISK_FORMAT` for what the specification does not allow, `E_DISK_UNSUPPORTED` for what we do not know.
 */
export function parseHeader(name: string, bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (what: string) => formatError(name, `qcow2 header: ${what}`);
  if (bytes.length < V2_HEADER_LENGTH) throw fail('the file is too short');
  if (view.getUint32(0) !== QCOW_MAGIC) throw fail('this is not a qcow2 image');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw unsupported(name, `qcow2 version ${version} is not supported`);
  const u64 = (at: number, what: string) => {
    const value = view.getUint32(at) * TWO_32 + view.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) throw fail(`${what} is too large`);
    return value;
  };

  const clusterBits = view.getUint32(20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw fail(`clusters of 2^${clusterBits} bytes; the format has 2^${MIN_CLUSTER_BITS} to 2^${MAX_CLUSTER_BITS}`);
  }
  const clusterSize = 2 ** clusterBits;
  if (view.getUint32(32) !== 0) throw unsupported(name, 'encrypted images are not supported; decrypt it with qemu-img');

  let incompatible = 0;
  let compatible = 0;
  let autoclear = 0;
  let refcountOrder = 4;
  let length = V2_HEADER_LENGTH;
  let compression: CompressionType = 'zlib';
  if (version === 3) {
    if (bytes.length < V3_HEADER_LENGTH) throw fail('the file is too short');
    if (view.getUint32(72) !== 0) throw unsupported(name, featureMessage(fail, bytes, 0, TWO_32));
    incompatible = view.getUint32(76);
    compatible = view.getUint32(84);
    // Of the unknown upper half it counts only whether something is there.
    autoclear = view.getUint32(92) + (view.getUint32(88) === 0 ? 0 : TWO_32);
    refcountOrder = view.getUint32(96);
    length = view.getUint32(100);
    if (length < V3_HEADER_LENGTH || length % 8 !== 0) throw fail(`a length of ${length} bytes`);
    if (length > Math.min(clusterSize, bytes.length)) throw fail('it is longer than a cluster or the file');
    if (length > V3_HEADER_LENGTH) compression = compressionType(name, view.getUint8(104));
  }
  const unknown = (incompatible & ~KNOWN_INCOMPATIBLE) >>> 0;
  if (unknown !== 0) throw unsupported(name, featureMessage(fail, bytes.subarray(0, clusterSize), length, unknown));
  if (refcountOrder > MAX_REFCOUNT_ORDER) throw fail(`reference counts of 2^${refcountOrder} bits`);
  if ((incompatible & INCOMPATIBLE_EXTENDED_L2) !== 0 && clusterBits < 14) {
    throw fail('extended L2 entries with clusters of less than 16 KiB');
  }
  if ((compression !== 'zlib') !== ((incompatible & INCOMPATIBLE_COMPRESSION) !== 0)) {
    throw fail('the compression type and its feature bit contradict each other');
  }

  const headerEnd = Math.min(clusterSize, bytes.length);
  const backingOffset = u64(8, 'the offset of the backing file name');
  const backingLength = view.getUint32(16);
  const extensions = parseExtensions(
    fail,
    bytes,
    length,
    backingOffset === 0 ? headerEnd : Math.min(headerEnd, backingOffset),
  );
  const find = (type: number) => extensions.find((e) => e.type === type)?.data;
  if (find(EXTENSION_ENCRYPTION) !== undefined) throw unsupported(name, 'encrypted images are not supported');
  const dataFileName = find(EXTENSION_DATA_FILE);
  const hasDataFile = (incompatible & INCOMPATIBLE_DATA_FILE) !== 0;
  if (hasDataFile && dataFileName === undefined) throw fail('the name of the external data file is missing');
  const backingFormat = find(EXTENSION_BACKING_FORMAT);
  const bitmaps = find(EXTENSION_BITMAPS);

  const header: Header = {
    version,
    clusterBits,
    size: u64(24, 'the virtual size'),
    l1Size: view.getUint32(36),
    l1Offset: u64(40, 'the offset of the L1 table'),
    refcountTableOffset: u64(48, 'the offset of the refcount table'),
    refcountTableClusters: view.getUint32(56),
    snapshotCount: view.getUint32(60),
    snapshotsOffset: u64(64, 'the offset of the snapshot table'),
    incompatible,
    compatible,
    autoclear,
    refcountOrder,
    compression,
    backingFile: backingOffset === 0 ? undefined : backingName(fail, bytes, headerEnd, backingOffset, backingLength),
    backingFormat: backingFormat && text(backingFormat),
    dataFile: hasDataFile ? text(dataFileName!) : undefined,
    bitmaps: bitmaps && parseBitmaps(fail, bitmaps),
    otherExtensions: extensions.filter((e) => !OWN_EXTENSIONS.has(e.type)),
  };
  checkTables(fail, header);
  return header;
}

const OWN_EXTENSIONS = new Set([
  EXTENSION_BACKING_FORMAT,
  EXTENSION_BITMAPS,
  EXTENSION_DATA_FILE,
  EXTENSION_FEATURE_NAMES,
]);

type Fail = (what: string) => Error;

function checkTables(fail: Fail, header: Header): void {
  const clusterSize = 2 ** header.clusterBits;
  const aligned = (offset: number) => offset % clusterSize === 0 && offset >= clusterSize;
  if (header.size === 0 && header.l1Size === 0) {
    // An empty disk needs no L1 table.
  } else if (!aligned(header.l1Offset))
    throw fail(`the L1 table at offset ${header.l1Offset}, which is no cluster of its own`);
  if (header.l1Size * 8 > MAX_L1_BYTES) throw fail(`an L1 table of ${header.l1Size} entries`);
  if (header.l1Size < l1EntriesFor(header, header.size)) {
    throw fail(`an L1 table of ${header.l1Size} entries is too small for a disk of ${header.size} bytes`);
  }
  if (!aligned(header.refcountTableOffset)) {
    throw fail(`the refcount table at offset ${header.refcountTableOffset}, which is no cluster of its own`);
  }
  const tableBytes = header.refcountTableClusters * clusterSize;
  if (tableBytes > MAX_REFCOUNT_TABLE_BYTES || tableBytes === 0) throw fail(`a refcount table of ${tableBytes} bytes`);
  if (header.snapshotCount > MAX_SNAPSHOTS) throw fail(`${header.snapshotCount} snapshots`);
  if (header.snapshotCount > 0 && !aligned(header.snapshotsOffset)) {
    throw fail(`the snapshot table at offset ${header.snapshotsOffset}, which is no cluster of its own`);
  }
}

/** Entries of an L1 table for a disk of `size` bytes. */
export function l1EntriesFor(header: Pick<Header, 'clusterBits' | 'incompatible'>, size: number): number {
  return Math.ceil(size / bytesPerL2(header));
}

/** Guest bytes that an L2 table is about. */
export function bytesPerL2({ clusterBits, incompatible }: Pick<Header, 'clusterBits' | 'incompatible'>): number {
  const entrySize = (incompatible & INCOMPATIBLE_EXTENDED_L2) !== 0 ? 16 : 8;
  return (2 ** clusterBits / entrySize) * 2 ** clusterBits;
}

function compressionType(name: string, value: number): CompressionType {
  const type = COMPRESSION_TYPES[value];
  if (type === undefined) throw unsupported(name, `compression type ${value} is not supported`);
  return type;
}

function backingName(fail: Fail, bytes: Uint8Array, end: number, offset: number, length: number): string {
  if (length > MAX_BACKING_NAME || length > end - offset) throw fail('the backing file name is too long');
  return text(bytes.subarray(offset, offset + length));
}

/** The list goes to its end mark, or to `end`. */
function parseExtensions(fail: Fail, bytes: Uint8Array, start: number, end: number): HeaderExtension[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: HeaderExtension[] = [];
  for (let at = start; at + 8 <= end; ) {
    const type = view.getUint32(at);
    if (type === EXTENSION_END) break;
    const length = view.getUint32(at + 4);
    if (length > end - at - 8) throw fail(`a header extension of ${length} bytes does not fit`);
    found.push({ type, data: bytes.slice(at + 8, at + 8 + length) });
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

function parseBitmaps(fail: Fail, data: Uint8Array): BitmapsExtension {
  if (data.length < 24) throw fail('the bitmaps extension is too short');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const u64 = (at: number) => view.getUint32(at) * TWO_32 + view.getUint32(at + 4);
  return { count: view.getUint32(0), directorySize: u64(8), directoryOffset: u64(16) };
}

/** Names unknown features by the image's own table of names, if it has one (which v3 images do). */
function featureMessage(fail: Fail, bytes: Uint8Array, extensionsAt: number, unknown: number): string {
  const names: string[] = [];
  if (extensionsAt > 0) {
    const extensions = parseExtensions(fail, bytes, extensionsAt, bytes.length);
    const table = extensions.find((e) => e.type === EXTENSION_FEATURE_NAMES)?.data ?? new Uint8Array(0);
    for (let at = 0; at + 48 <= table.length; at += 48) {
      const isUnknown = table[at] === 0 && table[at + 1]! < 32 && ((unknown >>> table[at + 1]!) & 1) === 1;
      if (isUnknown) names.push(text(table.subarray(at + 2, at + 48)));
    }
  }
  const which = names.length > 0 ? names.map((n) => JSON.stringify(n)).join(', ') : `bits 0x${unknown.toString(16)}`;
  return `the image needs features that are not supported: ${which}`;
}

/** Bytes as far as a NUL, as text. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
