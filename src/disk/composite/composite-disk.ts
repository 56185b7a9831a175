import { CrosvmError } from '../../errors.ts';
import { partOf } from '../../memory/bytes-list.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { checkRange, checkWritable, type Disk, type Extent, type Place } from '../disk.ts';

/** A stretch of a composite disk, and the disk that it is. Behind that one's end it reads as zeroes. */
export interface Part {
  readonly offset: number;
  readonly length: number;
  readonly disk: Disk;
}

/** Several disks in a row; what lies between them reads as zeroes and cannot be written. */
export class CompositeDisk implements Disk {
  readonly format = 'composite';
  readonly size: number;
  readonly writable: boolean;
  readonly #name: string;
  readonly #parts: readonly Part[];
  readonly #list = new ScatterList();

  /** `parts` are in order and do not overlap. */
  constructor(name: string, size: number, parts: readonly Part[]) {
    this.#name = name;
    this.size = size;
    this.#parts = parts;
    this.writable = parts.some(({ disk }) => disk.writable);
  }

  read(offset: number, list: ScatterList): void {
    checkRange(this.#name, this.size, offset, list.length);
    for (let done = 0; done < list.length; ) {
      const part = this.#at(offset + done);
      const length = this.#lengthAt(part, offset + done, list.length - done);
      if (part === undefined || !isWithin(part, offset + done)) list.zero(done, length);
      else part.disk.read(offset + done - part.offset, partOf(list, done, length, this.#list));
      done += length;
    }
  }

  write(offset: number, list: ScatterList): void {
    this.#forWrite(offset, list.length, (disk, at, done, length) => {
      disk.write(at, partOf(list, done, length, this.#list));
    });
  }

  flush(): void {
    for (const { disk } of this.#parts) if (disk.writable) disk.flush();
  }

  discard(offset: number, length: number): void {
    this.#forWrite(offset, length, (disk, at, _done, part) => disk.discard(at, part));
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): void {
    this.#forWrite(offset, length, (disk, at, _done, part) => disk.writeZeroes(at, part, mayUnmap));
  }

  resize(): void {
    throw new CrosvmError('E_DISK_RESIZE', `${this.#name}: a composite disk keeps its size`);
  }

  locate(offset: number, length: number, extent: Extent): void {
    checkRange(this.#name, this.size, offset, length);
    const part = this.#at(offset);
    const inPart = this.#lengthAt(part, offset, length);
    if (part !== undefined && isWithin(part, offset)) {
      part.disk.locate(offset - part.offset, inPart, extent);
      return;
    }
    extent.kind = 'zero';
    extent.length = inPart;
    extent.allocated = true;
    extent.depth = 0;
    extent.store = undefined;
  }

  placeOf(write: boolean, offset: number, length: number, place: Place): boolean {
    const part = this.#at(offset);
    if (part === undefined || !isWithin(part, offset) || this.#lengthAt(part, offset, length) < length) return false;
    return part.disk.placeOf(write, offset - part.offset, length, place);
  }

  /** There are several. */
  storeToFlush(): undefined {}

  close(): void {
    for (const { disk } of this.#parts) disk.close();
  }

  /** Carries a change out on each part that it touches; all of them have to be writable. */
  #forWrite(
    offset: number,
    total: number,
    change: (disk: Disk, at: number, done: number, length: number) => void,
  ): void {
    checkRange(this.#name, this.size, offset, total);
    for (const dryRun of [true, false]) {
      for (let done = 0; done < total; ) {
        const at = offset + done;
        const part = this.#at(at);
        const length = this.#lengthAt(part, at, total - done);
        checkWritable(this.#name, part?.disk.writable === true && isWithin(part, at));
        if (!dryRun) change(part!.disk, at - part!.offset, done, length);
        done += length;
      }
    }
  }

  /** The last part that begins at or before `offset`. */
  #at(offset: number): Part | undefined {
    let low = 0;
    let high = this.#parts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#parts[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    return this.#parts[low - 1];
  }

  /** How much of `max` bytes from `offset` lie in one place: of the part's disk, behind it, or before the next part. */
  #lengthAt(part: Part | undefined, offset: number, max: number): number {
    if (part === undefined) return Math.min(max, (this.#parts[0]?.offset ?? this.size) - offset);
    const diskEnd = part.offset + Math.min(part.length, part.disk.size);
    const end = offset < diskEnd ? diskEnd : this.#nextAfter(part);
    return Math.min(max, end - offset);
  }

  #nextAfter(part: Part): number {
    return this.#parts[this.#parts.indexOf(part) + 1]?.offset ?? this.size;
  }
}

/** Whether the part's disk has something at an offset that is not before it. */
function isWithin({ offset: start, length, disk }: Part, offset: number): boolean {
  return offset < start + Math.min(length, disk.size);
}
