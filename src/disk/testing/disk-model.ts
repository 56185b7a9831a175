import { bytesList } from '../../memory/bytes-list.ts';
import type { Disk } from '../disk.ts';

export const SECTOR = 512;

export function readDisk(disk: Disk, offset = 0, length = disk.size): Uint8Array {
  const bytes = new Uint8Array(length);
  disk.read(offset, bytesList(bytes));
  return bytes;
}

/** What a disk should hold, and what each sector may hold after a power cut. */
export class DiskModel {
  readonly contents: Uint8Array;
  /** For each sector changed since the last flush: what it was since then. */
  readonly #versions = new Map<number, Uint8Array[]>();

  constructor(size: number) {
    this.contents = new Uint8Array(size);
  }

  /** The guest is about to write; `bytes` undefined means zeroes. */
  write(offset: number, bytes: Uint8Array | undefined, length: number): void {
    const first = Math.floor(offset / SECTOR);
    const end = Math.ceil((offset + length) / SECTOR);
    for (let sector = first; sector < end; sector++) {
      let versions = this.#versions.get(sector);
      if (versions === undefined) this.#versions.set(sector, (versions = [this.#sector(sector)]));
    }
    if (bytes === undefined) this.contents.fill(0, offset, offset + length);
    else this.contents.set(bytes, offset);
    for (let sector = first; sector < end; sector++) this.#versions.get(sector)!.push(this.#sector(sector));
  }

  /** A flush has returned. */
  flushed(): void {
    this.#versions.clear();
  }

  /** The first sector that a disk may not hold after a power cut, or undefined. */
  wrongSector(found: Uint8Array): number | undefined {
    for (let sector = 0; sector * SECTOR < this.contents.length; sector++) {
      const now = found.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      const versions = this.#versions.get(sector) ?? [this.#sector(sector)];
      if (!versions.some((version) => Buffer.compare(version, now) === 0)) return sector;
    }
    return undefined;
  }

  #sector(sector: number): Uint8Array {
    return this.contents.slice(sector * SECTOR, (sector + 1) * SECTOR);
  }
}
