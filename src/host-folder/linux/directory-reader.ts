import { callMemory, readEntries, seekToCookie } from '../../base/file-calls.ts';
import type { DirectoryEntry } from '../attributes.ts';

/** Bytes of entries that are read at a time. */
const BUFFER_BYTES = 32768;

/** struct linux_dirent64 (getdents64(2)): u64 ino, i64 off, u16 length, u8 type, name with a zero behind it. */
const D_OFF = 8;
const D_RECLEN = 16;
const D_TYPE = 18;
const D_NAME = 19;

/** Reads entries of folders, in the order of the file system. What was read last and not asked for is kept. */
export class DirectoryReader {
  readonly #memory = callMemory(BUFFER_BYTES);
  readonly #view = new DataView(this.#memory.bytes.buffer);
  /** Whose entries the buffer has. */
  #fd = -1;
  #end = 0;
  /** The entry that was given out last, and the one behind it. */
  #last = 0;
  #next = 0;
  /** The cookies in front of them. */
  #lastLow = 0;
  #lastHigh = 0;
  #nextLow = 0;
  #nextHigh = 0;

  /** As `Folder.nextEntry`. */
  next(fd: number, cookieLow: number, cookieHigh: number, entry: DirectoryEntry): number {
    if (this.#fd === fd && this.#nextLow === cookieLow && this.#nextHigh === cookieHigh) this.#last = this.#next;
    // It did not fit where it was to go, so it is asked for again.
    else if (
      this.#fd !== fd ||
      this.#lastLow !== cookieLow ||
      this.#lastHigh !== cookieHigh ||
      this.#last === this.#end
    ) {
      const result = this.#seek(fd, cookieLow, cookieHigh);
      if (result < 0) return result;
    }
    if (this.#last === this.#end) {
      const result = this.#fill();
      if (result <= 0) return result;
    }
    this.#lastLow = cookieLow;
    this.#lastHigh = cookieHigh;
    this.#give(entry);
    this.#nextLow = entry.cookieLow;
    this.#nextHigh = entry.cookieHigh;
    return 1;
  }

  /** A descriptor is closed, and its number may come back as another folder. */
  forget(fd: number): void {
    if (this.#fd === fd) this.forgetAll();
  }

  forgetAll(): void {
    this.#fd = -1;
  }

  #seek(fd: number, low: number, high: number): number {
    this.#fd = fd;
    this.#end = this.#last = this.#next = 0;
    this.#nextLow = low;
    this.#nextHigh = high;
    const result = seekToCookie(fd, low, high);
    if (result < 0) this.#fd = -1;
    return Math.min(result, 0);
  }

  #fill(): number {
    const n = readEntries(this.#fd, this.#memory);
    this.#last = this.#next = 0;
    this.#end = Math.max(0, n);
    if (n < 0) this.#fd = -1;
    return n;
  }

  #give(entry: DirectoryEntry): void {
    const at = this.#last;
    const view = this.#view;
    const { bytes } = this.#memory;
    entry.inoLow = view.getUint32(at, true);
    entry.inoHigh = view.getUint32(at + 4, true);
    entry.cookieLow = view.getUint32(at + D_OFF, true);
    entry.cookieHigh = view.getUint32(at + D_OFF + 4, true);
    entry.type = bytes[at + D_TYPE]!;
    let end = at + D_NAME;
    while (bytes[end] !== 0) end++;
    entry.name.set(this.#memory, at + D_NAME, end - at - D_NAME);
    this.#next = at + view.getUint16(at + D_RECLEN, true);
  }
}
