import type { ScatterList } from '../memory/scatter-list.ts';

/**
 * Where an image lies: a host file, a block device, or bytes in memory. All offsets and lengths are whole bytes. Every
 * call is synchronous and may throw what the operating system says (`E_SYSTEM`: EIO, ENOSPC, ...).
 */
export interface ByteStore {
  /** What messages call it: the path. */
  readonly name: string;
  /** Length in bytes. What others do to the file meanwhile does not change it. */
  readonly size: number;
  readonly writable: boolean;
  /** Whether bytes beyond the end, once written behind, read as zeroes; false for a block device. */
  readonly growsWithZeroes: boolean;

  /** Fills `target`; beyond the end there are zeroes. Throws `E_FILE_CHANGED` if the file has become shorter than `size`. */
  read(offset: number, target: Uint8Array): void;
  /** The same into all pieces of a list. */
  readList(offset: number, list: ScatterList): void;
  /** Writes all of `source`, growing the store where needed. */
  write(offset: number, source: Uint8Array): void;
  writeList(offset: number, list: ScatterList): void;
  /** Returns when all that was written is on the medium (fdatasync). */
  flush(): void;

  /** Makes a range read as zeroes and gives its space back, where that is possible. Never changes the size. */
  punchHole(offset: number, length: number): void;
  /** Makes a range read as zeroes and keeps or gets space for it. Grows the store where needed. */
  zeroRange(offset: number, length: number): void;
  resize(size: number): void;

  /** Where the first data at or behind `offset` begins; `size` if there is none. A store may call zeroes data. */
  nextData(offset: number): number;
  /** Where the first hole at or behind `offset` begins; `size` if there is none. */
  nextHole(offset: number): number;
  close(): void;
}
