import { CrosvmError } from '../../errors.ts';
import type { Header } from './header.ts';
import {
  EXTENSION_BACKING_FORMAT,
  EXTENSION_BITMAPS,
  EXTENSION_DATA_FILE,
  EXTENSION_FEATURE_NAMES,
  MAX_BACKING_NAME,
  QCOW_MAGIC,
  TWO_32,
  V2_HEADER_LENGTH,
} from './layout.ts';

/** With the compression type and its padding. */
const V3_WRITTEN_LENGTH = 112;

/** Kind (0 incompatible, 1 compatible, 2 autoclear), bit, and name of each feature, for programs that lack it. */
const FEATURE_NAMES: readonly (readonly [number, number, string])[] = [
  [0, 0, 'dirty bit'],
  [0, 1, 'corrupt bit'],
  [0, 2, 'external data file'],
  [0, 3, 'compression type'],
  [0, 4, 'extended L2 entries'],
  [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'],
  [2, 1, 'raw external data'],
];

/**
 * The header with its extensions and the backing file name, as they stand at the start of an image. Throws
 * `E_DISK_FORMAT` if that does not fit a cluster.
 */
export function encodeHeader(name: string, header: Header): Uint8Array {
  const clusterSize = 2 ** header.clusterBits;
  const bytes = new Uint8Array(clusterSize);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, value: number) => {
    view.setUint32(at, Math.floor(value / TWO_32));
    view.setUint32(at + 4, value % TWO_32);
  };
  view.setUint32(0, QCOW_MAGIC);
  view.setUint32(4, header.version);
  view.setUint32(20, header.clusterBits);
  u64(24, header.size);
  view.setUint32(36, header.l1Size);
  u64(40, header.l1Offset);
  u64(48, header.refcountTableOffset);
  view.setUint32(56, header.refcountTableClusters);
  view.setUint32(60, header.snapshotCount);
  u64(64, header.snapshotsOffset);
  if (header.version === 3) {
    u64(72, header.incompatible);
    u64(80, header.compatible);
    u64(88, header.autoclear);
    view.setUint32(96, header.refcountOrder);
    view.setUint32(100, V3_WRITTEN_LENGTH);
    view.setUint8(104, header.compression === 'zstd' ? 1 : 0);
  }

  let at = header.version === 3 ? V3_WRITTEN_LENGTH : V2_HEADER_LENGTH;
  const room = (length: number) => {
    if (at + length <= clusterSize) return;
    throw new CrosvmError('E_DISK_FORMAT', `${name}: the header does not fit a cluster of ${clusterSize} bytes`);
  };
  const extension = (type: number, data: Uint8Array) => {
    const length = 8 + Math.ceil(data.length / 8) * 8;
    room(length);
    view.setUint32(at, type);
    view.setUint32(at + 4, data.length);
    bytes.set(data, at + 8);
    at += length;
  };
  if (header.backingFormat !== undefined) extension(EXTENSION_BACKING_FORMAT, utf8(header.backingFormat));
  if (header.dataFile !== undefined) extension(EXTENSION_DATA_FILE, utf8(header.dataFile));
  if (header.bitmaps !== undefined) extension(EXTENSION_BITMAPS, encodeBitmaps(header.bitmaps));
  for (const other of header.otherExtensions) extension(other.type, other.data);
  // The table of names helps only messages: without room for it the image goes without.
  const names = encodeFeatureNames();
  const backing = header.backingFile === undefined ? undefined : utf8(header.backingFile);
  const rest = 8 + (backing?.length ?? 0);
  if (header.version === 3 && at + 8 + names.length + rest <= clusterSize) extension(EXTENSION_FEATURE_NAMES, names);
  room(rest);
  at += 8; // the end mark is zeroes
  if (backing !== undefined) {
    if (backing.length > MAX_BACKING_NAME) {
      throw new CrosvmError('E_DISK_FORMAT', `${name}: the backing file name is longer than ${MAX_BACKING_NAME} bytes`);
    }
    bytes.set(backing, at);
    u64(8, at);
    view.setUint32(16, backing.length);
  }
  return bytes;
}

function encodeBitmaps({ count, directorySize, directoryOffset }: NonNullable<Header['bitmaps']>): Uint8Array {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, count);
  view.setUint32(8, Math.floor(directorySize / TWO_32));
  view.setUint32(12, directorySize % TWO_32);
  view.setUint32(16, Math.floor(directoryOffset / TWO_32));
  view.setUint32(20, directoryOffset % TWO_32);
  return new Uint8Array(view.buffer);
}

function encodeFeatureNames(): Uint8Array {
  const bytes = new Uint8Array(FEATURE_NAMES.length * 48);
  FEATURE_NAMES.forEach(([kind, bit, name], i) => {
    bytes[i * 48] = kind;
    bytes[i * 48 + 1] = bit;
    bytes.set(utf8(name), i * 48 + 2);
  });
  return bytes;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
