import type { ExtendedAttribute } from './extended-attribute.ts';
import type { Place } from './place-tree.ts';

/** What a client has a number for: a place, and perhaps what is open there. */
export class Fid {
  readonly number: number;
  place: Place;
  /** Who uses it: the owner of what is made. */
  readonly uid: number;
  /** The folder's open file or directory; 0 if it is not open. */
  file = 0;
  /** The file is open for writing. */
  isWritable = false;
  /** It is open on an extended attribute, not on the file. */
  attribute: ExtendedAttribute | undefined;
  /** Owners of locks that were taken through it. */
  lockOwners: bigint[] | undefined;

  constructor(number: number, place: Place, uid: number) {
    this.number = number;
    this.place = place;
    this.uid = uid;
  }

  get isOpen(): boolean {
    return this.file !== 0 || this.attribute !== undefined;
  }
}

/** A client that keeps one for each file that it remembers can remember so many (some 100 bytes each). */
const MAX_FIDS = 1 << 20;

/** The fids of a client. */
export class FidTable {
  readonly #fids = new Map<number, Fid>();

  get isFull(): boolean {
    return this.#fids.size >= MAX_FIDS;
  }

  get(number: number): Fid | undefined {
    return this.#fids.get(number);
  }

  add(fid: Fid): void {
    this.#fids.set(fid.number, fid);
  }

  remove(fid: Fid): void {
    this.#fids.delete(fid.number);
  }

  clear(): void {
    this.#fids.clear();
  }
}
