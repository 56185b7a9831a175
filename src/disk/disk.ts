import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';

/** What the bytes of a stretch of a disk are. */
export type ExtentKind = 'data' | 'zero' | 'compressed';

/** A stretch of a disk that lies in one piece. Filled in by `Disk.locate`, so that one object serves all requests. */
export class Extent {
  /** Bytes from the offset asked for. */
  length = 0;
  kind: ExtentKind = 'zero';
  /** Where the bytes lie, for 'data'. */
  store: ByteStore | undefined = undefined;
  /** Offset in `store` of the first byte, for 'data'. */
  offset = 0;
  /** Which image of a backing chain says so; 0 is the one that was asked. */
  depth = 0;
  /** Whether an image says what is here; otherwise the end of the backing chain was reached without an answer. */
  allocated = false;
}

/** Where a stretch of a disk lies in a store. Filled in by `Disk.placeOf`. */
export class Place {
  store: ByteStore | undefined = undefined;
  /** Offset in `store` of the first byte. */
  offset = 0;
}

/**
 * What a block device sees: a row of bytes, whatever the format. Calls are synchronous; ranges have to lie within
 * `size`. A call that throws a `CrosvmError` has failed as an I/O error; the disk can be used on.
 */
export interface Disk {
  readonly format: DiskFormat;
  /** Bytes. */
  readonly size: number;
  readonly writable: boolean;
  read(offset: number, list: ScatterList): void;
  write(offset: number, list: ScatterList): void;
  /** Returns when everything written so far survives a power cut. */
  flush(): void;
  /** A hint that the range is not needed any more. It then reads as zeroes, or as before where the format cannot say that. */
  discard(offset: number, length: number): void;
  /** Makes the range read as zeroes; `mayUnmap` allows to give its space back. */
  writeZeroes(offset: number, length: number, mayUnmap: boolean): void;
  /** Changes `size`; bytes that are added read as zeroes. Throws `E_DISK_RESIZE` if the format cannot. */
  resize(size: number): void;
  /** Says in `extent` where the bytes from `offset` lie, for at most `length` of them. */
  locate(offset: number, length: number, extent: Extent): void;
  /**
   * Whether a read, or a write, of exactly these bytes is one of a store and nothing else; says in `place` which one, for
   * somebody who carries it out himself. The disk must not be changed otherwise until that has ended.
   */
  placeOf(write: boolean, offset: number, length: number, place: Place): boolean;
  /** The store that a flush is an fdatasync of, and nothing else, for somebody who does that himself. */
  storeToFlush(): ByteStore | undefined;
  /** Writes what is pending and closes the files, backing files too. */
  close(): void;
}

export const DISK_FORMATS = ['raw', 'qcow2', 'composite', 'android-sparse', 'zstd'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

/** `E_DISK_FORMAT`: an image that is wrong in itself. */
export function formatError(name: string, what: string, options?: { cause?: unknown }): CrosvmError {
  return new CrosvmError('E_DISK_FORMAT', `${name}: ${what}`, options);
}

/** `E_DISK_UNSUPPORTED`: an image that may be right, but is not for us. */
export function unsupported(name: string, what: string): CrosvmError {
  return new CrosvmError('E_DISK_UNSUPPORTED', `${name}: ${what}`);
}

/** Throws `E_DISK_RANGE` unless the bytes lie within a disk of `size`. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0) {
    if (length <= size - offset) return;
  }
  throw new CrosvmError('E_DISK_RANGE', `${name}: ${length} bytes at ${offset} are not within a disk of ${size} bytes`);
}

/** Throws `E_DISK_READ_ONLY` unless the disk may be written. */
export function checkWritable(name: string, writable: boolean): void {
  if (!writable) throw new CrosvmError('E_DISK_READ_ONLY', `${name}: the disk may not be written`);
}
