import { ROOT_INODE } from '../folder.ts';
import type { Name } from '../name.ts';
import { NameStore } from './name-store.ts';

/** A record, in words of 32 bits. */
const INO_LOW = 0;
const INO_HIGH = 1;
/** The inode of the folder that it was last seen in. */
const PARENT = 2;
/** How often clients were given it. */
const LOOKUPS = 3;
/** Records whose parent it is. */
const CHILDREN = 4;
/** What it is called there: a reference of the name store; 0 if that is not known (any more). */
const NAME = 5;
/** The next record of its bucket; of a free record, the next free one. */
const NEXT = 6;
/** The place of its descriptor (8 bits, from 1), its device (11 bits), its type (4 bits), whether it is in a bucket, its mark (8 bits). */
const META = 7;
const RECORD_WORDS = 8;

const SLOT_MASK = 0xff;
const DEVICE_SHIFT = 8;
const DEVICE_MASK = 0x7ff;
const TYPE_SHIFT = 19;
const TYPE_MASK = 0xf;
const HASHED = 1 << 23;
const MARK_SHIFT = 24;
const MARK_MASK = 0xff;

export const MAX_DEVICES = DEVICE_MASK + 1;
export const MAX_MARK = MARK_MASK;

/** A client that forgets nothing, not even what it has deleted, gets no more (some 60 bytes each). */
export const MAX_INODES = 1 << 24;

const CHUNK_SHIFT = 13;
const CHUNK_RECORDS = 1 << CHUNK_SHIFT;
const FIRST_BUCKETS = 1024;

/**
 * The files that clients know, 32 bytes and a name each, found by number and by what they are on the host: number on the
 * file system, and device. A record stays while clients have it or it is the parent of another.
 */
export class InodeTable {
  readonly names = new NameStore();
  readonly #chunks: Uint32Array[] = [];
  #end = ROOT_INODE;
  #firstFree = 0;
  #count = 0;
  #buckets = new Uint32Array(FIRST_BUCKETS);
  readonly #max: number;

  /** `max`: how many there can be. */
  constructor(max: number) {
    this.#max = max;
  }

  get isFull(): boolean {
    return this.#count >= this.#max;
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  isLive(inode: number): boolean {
    return inode > 0 && inode < this.#end && this.type(inode) !== 0;
  }

  /** A new record that nobody has yet. `type` is S_IF >> 12. */
  add(inoLow: number, inoHigh: number, device: number, type: number): number {
    const inode = this.#take();
    this.#set(inode, INO_LOW, inoLow);
    this.#set(inode, INO_HIGH, inoHigh);
    this.#set(inode, META, (device << DEVICE_SHIFT) | (type << TYPE_SHIFT));
    this.#hash(inode);
    this.#count++;
    return inode;
  }

  /** The inode of a file of the host; 0 if it is not known. */
  find(inoLow: number, inoHigh: number, device: number): number {
    let inode = this.#buckets[this.#bucketOf(inoLow, inoHigh, device)]!;
    while (inode !== 0 && !this.#is(inode, inoLow, inoHigh, device)) inode = this.#get(inode, NEXT);
    return inode;
  }

  /** Whether a record is that of a file of the host. */
  isSame(inode: number, inoLow: number, inoHigh: number, device: number, type: number): boolean {
    return this.#is(inode, inoLow, inoHigh, device) && this.type(inode) === type;
  }

  /** Says where a file was found. */
  place(inode: number, parent: number, name: Name): void {
    // A mount can make a folder appear beneath itself; there it was before is the better place.
    if (this.isAt(inode, parent, name) || this.isBeneath(parent, inode)) return;
    this.#set(parent, CHILDREN, this.#get(parent, CHILDREN) + 1);
    this.displace(inode);
    this.#set(inode, PARENT, parent);
    this.#set(inode, NAME, this.names.add(name));
  }

  /** It is no longer where it was. */
  displace(inode: number): void {
    const name = this.#get(inode, NAME);
    if (name === 0) return;
    const parent = this.#get(inode, PARENT);
    this.names.remove(name);
    this.#set(inode, NAME, 0);
    this.#set(inode, PARENT, 0);
    this.#set(parent, CHILDREN, this.#get(parent, CHILDREN) - 1);
    this.#removeIfUnused(parent);
  }

  isAt(inode: number, parent: number, name: Name): boolean {
    const reference = this.#get(inode, NAME);
    return reference !== 0 && this.#get(inode, PARENT) === parent && this.names.equals(reference, name);
  }

  /** Whether `inode` is `folder`, or the chain of its parents leads there. */
  isBeneath(inode: number, folder: number): boolean {
    if (this.#get(folder, CHILDREN) === 0) return inode === folder;
    let at = inode;
    while (at !== folder && at !== 0) at = this.#get(at, PARENT);
    return at !== 0;
  }

  /** The file is gone from the host: its number may be that of another one now. */
  unhash(inode: number): void {
    if ((this.#get(inode, META) & HASHED) === 0) return;
    const bucket = this.#bucketOf(this.#get(inode, INO_LOW), this.#get(inode, INO_HIGH), this.device(inode));
    const next = this.#get(inode, NEXT);
    if (this.#buckets[bucket] === inode) this.#buckets[bucket] = next;
    else {
      let before = this.#buckets[bucket]!;
      while (this.#get(before, NEXT) !== inode) before = this.#get(before, NEXT);
      this.#set(before, NEXT, next);
    }
    this.#set(inode, META, this.#get(inode, META) & ~HASHED);
  }

  /** Gives it to a client once more. */
  hold(inode: number): void {
    const lookups = this.#get(inode, LOOKUPS);
    if (lookups < 0xffff_ffff) this.#set(inode, LOOKUPS, lookups + 1);
  }

  /** Takes it back `count` times; more than it was given is as often as it was. */
  release(inode: number, count: number): void {
    if (inode === ROOT_INODE) return;
    const lookups = this.#get(inode, LOOKUPS);
    this.#set(inode, LOOKUPS, Math.max(0, lookups - count));
    this.#removeIfUnused(inode);
  }

  type(inode: number): number {
    return (this.#get(inode, META) >>> TYPE_SHIFT) & TYPE_MASK;
  }

  device(inode: number): number {
    return (this.#get(inode, META) >>> DEVICE_SHIFT) & DEVICE_MASK;
  }

  /** 0 if it is not known where it is. */
  parent(inode: number): number {
    return this.#get(inode, PARENT);
  }

  name(inode: number): number {
    return this.#get(inode, NAME);
  }

  /** The place of its descriptor in a cache; 0 without. */
  slot(inode: number): number {
    return this.#get(inode, META) & SLOT_MASK;
  }

  setSlot(inode: number, slot: number): void {
    this.#set(inode, META, (this.#get(inode, META) & ~SLOT_MASK) | slot);
  }

  /** What somebody has said of it (`setMark`); 0 at first. */
  mark(inode: number): number {
    return this.#get(inode, META) >>> MARK_SHIFT;
  }

  /** `mark` is 0 to MAX_MARK. */
  setMark(inode: number, mark: number): void {
    this.#set(inode, META, (this.#get(inode, META) & ~(MARK_MASK << MARK_SHIFT)) | (mark << MARK_SHIFT));
  }

  /** Called with a record before it is removed. */
  onRemove: (inode: number) => void = () => {};

  #removeIfUnused(first: number): void {
    for (let inode = first; inode !== ROOT_INODE && inode !== 0; ) {
      if (this.#get(inode, LOOKUPS) > 0 || this.#get(inode, CHILDREN) > 0) return;
      this.onRemove(inode);
      this.unhash(inode);
      const parent = this.#get(inode, PARENT);
      const name = this.#get(inode, NAME);
      if (name !== 0) this.names.remove(name);
      const at = (inode % CHUNK_RECORDS) * RECORD_WORDS;
      this.#chunk(inode).fill(0, at, at + RECORD_WORDS);
      this.#set(inode, NEXT, this.#firstFree);
      this.#firstFree = inode;
      this.#count--;
      if (name === 0) return;
      this.#set(parent, CHILDREN, this.#get(parent, CHILDREN) - 1);
      inode = parent;
    }
  }

  #take(): number {
    const free = this.#firstFree;
    if (free !== 0) {
      this.#firstFree = this.#get(free, NEXT);
      return free;
    }
    const inode = this.#end++;
    if (inode >>> CHUNK_SHIFT >= this.#chunks.length) this.#chunks.push(new Uint32Array(CHUNK_RECORDS * RECORD_WORDS));
    return inode;
  }

  #hash(inode: number): void {
    if (this.#count >= this.#buckets.length) this.#rehash();
    const bucket = this.#bucketOf(this.#get(inode, INO_LOW), this.#get(inode, INO_HIGH), this.device(inode));
    this.#set(inode, NEXT, this.#buckets[bucket]!);
    this.#buckets[bucket] = inode;
    this.#set(inode, META, this.#get(inode, META) | HASHED);
  }

  #rehash(): void {
    this.#buckets = new Uint32Array(this.#buckets.length * 2);
    for (let inode = ROOT_INODE; inode < this.#end; inode++) {
      if ((this.#get(inode, META) & HASHED) === 0) continue;
      const bucket = this.#bucketOf(this.#get(inode, INO_LOW), this.#get(inode, INO_HIGH), this.device(inode));
      this.#set(inode, NEXT, this.#buckets[bucket]!);
      this.#buckets[bucket] = inode;
    }
  }

  #bucketOf(inoLow: number, inoHigh: number, device: number): number {
    const mixed = Math.imul(inoLow ^ Math.imul(inoHigh + device, 0x85eb_ca6b), 0x9e37_79b1);
    return (mixed ^ (mixed >>> 15)) & (this.#buckets.length - 1);
  }

  #is(inode: number, inoLow: number, inoHigh: number, device: number): boolean {
    const chunk = this.#chunk(inode);
    const at = (inode % CHUNK_RECORDS) * RECORD_WORDS;
    return chunk[at + INO_LOW] === inoLow && chunk[at + INO_HIGH] === inoHigh && this.device(inode) === device;
  }

  #chunk(inode: number): Uint32Array {
    return this.#chunks[inode >>> CHUNK_SHIFT]!;
  }

  #get(inode: number, word: number): number {
    return this.#chunk(inode)[(inode % CHUNK_RECORDS) * RECORD_WORDS + word]!;
  }

  #set(inode: number, word: number, value: number): void {
    this.#chunk(inode)[(inode % CHUNK_RECORDS) * RECORD_WORDS + word] = value;
  }
}
