import { formatError } from '../disk.ts';
import { EntryTable } from './entry-table.ts';
import type { ImageFile } from './image-file.ts';
import {
  AUTOCLEAR_BITMAPS,
  AUTOCLEAR_DATA_FILE_RAW,
  MAX_BITMAP_DIRECTORY_BYTES,
  MAX_BITMAPS,
  TWO_32,
} from './layout.ts';

/** Of a directory entry, without extra data and name. */
const FIXED_LENGTH = 24;

/** A stretch of the file that belongs to bitmaps, and what it is. */
export interface BitmapRange {
  readonly what: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Whether the image has bitmaps that count: without the autoclear bit they are leftovers. */
export function hasBitmaps({ header }: ImageFile): boolean {
  return header.bitmaps !== undefined && (header.autoclear & AUTOCLEAR_BITMAPS) !== 0;
}

/** What the bitmaps of an image occupy: the directory, the tables, the bits. Throws `E_DISK_FORMAT`. */
export function* bitmapRanges(image: ImageFile): Generator<BitmapRange> {
  const { directoryOffset, directorySize, count } = image.header.bitmaps!;
  const fail = (what: string) => formatError(image.name, what);
  if (directorySize > MAX_BITMAP_DIRECTORY_BYTES || count > MAX_BITMAPS) throw fail('the bitmap directory is too long');
  yield { what: 'the bitmap directory', offset: directoryOffset, bytes: directorySize };
  const directory = read(image, directoryOffset, directorySize);
  for (let i = 0, at = 0; i < count; i++) {
    if (at + FIXED_LENGTH > directory.byteLength) throw fail('the bitmap directory is too short');
    const table = directory.getUint32(at) * TWO_32 + directory.getUint32(at + 4);
    const entries = directory.getUint32(at + 8);
    if (entries * 8 > MAX_BITMAP_DIRECTORY_BYTES) throw fail(`bitmap ${i} has a table of ${entries} entries`);
    yield { what: 'a bitmap table', offset: table, bytes: entries * 8 };
    const offsets = EntryTable.parse(new Uint8Array(read(image, table, entries * 8).buffer));
    for (let e = 0; e < offsets.length; e++) {
      const offset = offsets.offset(e);
      if (offset !== 0) yield { what: 'a bitmap', offset, bytes: image.clusterSize };
    }
    at += Math.ceil((FIXED_LENGTH + directory.getUint16(at + 18) + directory.getUint32(at + 20)) / 8) * 8;
  }
}

/**
 * Drops bitmaps, and whatever else an unknown autoclear bit stands for: we do not note what the guest writes, so they
 * would be wrong. Their clusters are lost until the next repair, as a wrong bitmap directory must not free anything.
 */
export function dropBitmaps(image: ImageFile): void {
  const { header } = image;
  const kept = header.autoclear & AUTOCLEAR_DATA_FILE_RAW;
  if (header.autoclear === kept) return;
  header.autoclear = kept;
  image.writeFeatures();
}

function read(image: ImageFile, offset: number, length: number): DataView {
  if (offset + length > image.store.size) throw formatError(image.name, 'bitmaps lie beyond the end of the file');
  const bytes = new Uint8Array(length);
  image.store.read(offset, bytes);
  return new DataView(bytes.buffer);
}
