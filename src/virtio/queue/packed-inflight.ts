/**
 * The area in shared memory by which the successor of a back end that crashed finds what a packed ring has left undone
 * (vhost-user, "Inflight I/O tracking"). Requests are given back in any order, and what is given back is written over
 * descriptors in the ring, so the area holds copies of those of requests that are under way. A header:
 *
 *     u16 version at 8, u16 next used place at 16, u16 used place at 18
 *
 * where a place is an index with the wrap counter in bit 15, so that one store moves both; and an entry for each descriptor; those of one request are a list, whose first one has all that is said once:
 *
 *     u8 state, u8 padding, u16 next, u16 last, u16 number of descriptors, u64 counter, u16 buffer id, u16 flags, u32 length, u64 address
 *
 * The process may be killed between any two stores (killed.test.ts), so the order of stores matters everywhere here.
 */
import { brokenRing } from './broken-ring.ts';

const VERSION = 1;
const HEADER_SIZE = 32;
const ENTRY_SIZE = 32;
const AT = { version: 8, next: 16, used: 18 };
const WRAP_SHIFT = 15;
const ENTRY = { state: 0, next: 2, count: 6, counter: 8, id: 16, flags: 18, length: 20, address: 24 };

/** States of an entry. The driver may, or may not yet, see a request that is returning as given back. */
const FREE = 0;
const UNDER_WAY = 1;
const RETURNING = 2;

/** A descriptor of the ring, in one of its rounds. */
export interface PackedPlace {
  readonly index: number;
  readonly wrap: number;
}

/** What a predecessor has left in the ring. */
export interface PackedRemains {
  /** The next used descriptor. */
  readonly used: PackedPlace;
  /** Up to here the ring may show descriptors behind that as used which the driver was not told of. */
  readonly marked: PackedPlace;
}

/** A descriptor as it is noted. `address` is beyond all memory where it is not exact. */
export interface NotedDescriptor {
  address: number;
  length: number;
  flags: number;
}

export class PackedInflight {
  readonly #view: DataView;
  readonly #size: number;
  /** Entries that nobody uses: the first `#freeCount`. */
  readonly #free: Uint16Array;
  #freeCount = 0;
  /** Requests to do again: first those of a predecessor, in the order in which it took them. */
  readonly #again: number[] = [];
  /** Descriptors of those. */
  #slotsAgain = 0;
  #counter = 1;
  /** Entries of the request that is being noted: the first, the last, and how many. */
  #first = 0;
  #last = 0;
  #count = 0;

  /** `view` is the area of one queue of up to `size` descriptors, of `inflightSize` bytes; zeroes when it is new. */
  constructor(view: DataView, size: number) {
    this.#view = view;
    this.#size = size;
    this.#free = new Uint16Array(size);
  }

  /** Descriptors of requests that are to be done again and are not taken yet. */
  get slotsAgain(): number {
    return this.#slotsAgain;
  }

  /**
   * Where to go on: at `start` for a new area. `isAvailable` looks whether the descriptor at a place is the device's in
   * that round, so that the driver was not told that it is used. What is `marked` is to be corrected, and then `recovered`
   * called. Throws `E_VIRTQUEUE` when what the area says is impossible.
   */
  recover(start: PackedPlace, isAvailable: (place: PackedPlace) => boolean): PackedRemains {
    const view = this.#view;
    if (view.getUint16(AT.version, true) !== VERSION) {
      this.moving(start.index, start.wrap);
      this.moved(start.index, start.wrap);
      view.setUint16(AT.version, VERSION, true);
    }
    const next = this.#place(AT.next);
    let used = this.#place(AT.used);
    const isMoving = next.index !== used.index || next.wrap !== used.wrap;
    // The predecessor may have died before or after it made its last requests visible. Where they were, the driver may
    // have made others available since, in the next round.
    if (isMoving && !isAvailable(used)) {
      this.#settle(FREE);
      this.moved(next.index, next.wrap);
      used = next;
    }
    this.#collect();
    return { used, marked: next };
  }

  /** Nothing in the ring is marked that the driver was not told of. */
  recovered({ index, wrap }: PackedPlace): void {
    this.#settle(UNDER_WAY);
    this.moving(index, wrap);
  }

  /** The first entry of the next request to do again; -1 when none is left. */
  nextAgain(): number {
    if (this.#again.length === 0) return -1;
    const note = this.#again.shift()!;
    this.#slotsAgain -= this.count(note);
    return note;
  }

  /** Of the request whose first entry is `note`: its buffer id, and how many descriptors it has. */
  id(note: number): number {
    return this.#view.getUint16(entry(note) + ENTRY.id, true);
  }

  count(note: number): number {
    return this.#view.getUint16(entry(note) + ENTRY.count, true);
  }

  /** Reads the descriptor in an entry; returns the entry of the next one. */
  read(at: number, into: NotedDescriptor): number {
    const view = this.#view;
    const place = entry(at);
    into.address =
      view.getUint32(place + ENTRY.address, true) + view.getUint32(place + ENTRY.address + 4, true) * 2 ** 32;
    into.length = view.getUint32(place + ENTRY.length, true);
    into.flags = view.getUint16(place + ENTRY.flags, true);
    return view.getUint16(place + ENTRY.next, true);
  }

  /** Begins to note a request, whose descriptors follow. */
  begin(): void {
    this.#count = 0;
  }

  /** There have to be entries: all descriptors that are under way together are at most `size`. */
  add(address: number, length: number, flags: number): void {
    const view = this.#view;
    const at = this.#free[this.#freeCount - 1 - this.#count]!;
    const place = entry(at);
    view.setUint16(place + ENTRY.flags, flags, true);
    view.setUint32(place + ENTRY.length, length, true);
    view.setUint32(place + ENTRY.address, address, true);
    view.setUint32(place + ENTRY.address + 4, address / 2 ** 32, true);
    if (this.#count === 0) this.#first = at;
    else view.setUint16(entry(this.#last) + ENTRY.next, at, true);
    this.#last = at;
    this.#count++;
  }

  /** The request is taken; returns its first entry. */
  taken(id: number): number {
    const view = this.#view;
    const place = entry(this.#first);
    view.setUint16(place + ENTRY.id, id, true);
    view.setUint16(place + ENTRY.count, this.#count, true);
    view.setUint32(place + ENTRY.counter, this.#counter, true);
    view.setUint32(place + ENTRY.counter + 4, this.#counter / 2 ** 32, true);
    this.#counter++;
    this.#freeCount -= this.#count;
    view.setUint8(place + ENTRY.state, UNDER_WAY);
    return this.#first;
  }

  /** It will be the next one to do again. */
  untaken(note: number): void {
    this.#again.unshift(note);
    this.#slotsAgain += this.count(note);
  }

  /** A request is about to be given back; to be called before `moving`. */
  returning(note: number): void {
    this.#view.setUint8(entry(note) + ENTRY.state, RETURNING);
  }

  /** To be called when it has become visible. */
  returned(note: number): void {
    const view = this.#view;
    view.setUint8(entry(note) + ENTRY.state, FREE);
    let at = note;
    for (let left = this.count(note); left > 0; left--) {
      this.#free[this.#freeCount++] = at;
      at = view.getUint16(entry(at) + ENTRY.next, true);
    }
  }

  /** To be called before requests are written to the ring as given back, with where that stands then. */
  moving(index: number, wrap: number): void {
    this.#view.setUint16(AT.next, index | (wrap << WRAP_SHIFT), true);
  }

  /** To be called when they have become visible, and are `returned`. */
  moved(index: number, wrap: number): void {
    this.#view.setUint16(AT.used, index | (wrap << WRAP_SHIFT), true);
  }

  #place(at: number): PackedPlace {
    const place = this.#view.getUint16(at, true);
    return { index: place & ~(1 << WRAP_SHIFT), wrap: place >>> WRAP_SHIFT };
  }

  /** Requests that were returning are as `state` says. */
  #settle(state: number): void {
    for (let at = 0; at < this.#size; at++) {
      const place = entry(at) + ENTRY.state;
      if (this.#view.getUint8(place) === RETURNING) this.#view.setUint8(place, state);
    }
  }

  /** Finds what is to be done again, and which entries are free. */
  #collect(): void {
    const view = this.#view;
    const isUsed = new Uint8Array(this.#size);
    for (let note = 0; note < this.#size; note++) {
      if (view.getUint8(entry(note) + ENTRY.state) === FREE) continue;
      this.#again.push(note);
      let at = note;
      const count = this.count(note);
      for (let left = count; left > 0; left--, at = view.getUint16(entry(at) + ENTRY.next, true)) {
        if (at >= this.#size || isUsed[at] === 1) throw brokenRing('the in-flight area is damaged');
        isUsed[at] = 1;
      }
      if (count === 0) throw brokenRing('the in-flight area is damaged');
      this.#slotsAgain += count;
    }
    const counter = (note: number) => Number(view.getBigUint64(entry(note) + ENTRY.counter, true));
    this.#again.sort((a, b) => counter(a) - counter(b));
    this.#counter = Math.max(0, ...this.#again.map(counter)) + 1;
    for (let at = this.#size - 1; at >= 0; at--) if (isUsed[at] === 0) this.#free[this.#freeCount++] = at;
  }
}

function entry(index: number): number {
  return HEADER_SIZE + ENTRY_SIZE * index;
}
