import { brokenRing } from './broken-ring.ts';

/**
 * The area in shared memory where a back end notes which requests of a packed queue it has taken and not yet given back,
 * so that its successor after a crash can do them again (vhost-user, "Inflight I/O tracking"). Requests come back in any
 * order, and used descriptors then overwrite those of requests that are still under way, so descriptors are copied here.
 * Only back ends of one kind share an area, so its layout is ours, within the size of the specified one: a header
 *
 *     u16 version at 8, u16 used place at 16, u16 next used place at 18
 *
 * and an entry for each descriptor. A place is an index with the wrap counter above it. A request is a list of entries,
 * the first of which also has its state, its number of descriptors, and a counter that says in which order requests were
 * taken. The process may end between any two stores: each order of stores here matters.
 */
const VERSION = 1;
const HEADER_SIZE = 32;
const ENTRY_SIZE = 32;
const AT = { version: 8, used: 16, next: 18 };
const ENTRY = { state: 0, next: 2, count: 6, counter: 8, id: 16, flags: 18, length: 20, address: 24 };

const FREE = 0;
const TAKEN = 1;
/** About to become visible to the driver, if it is not yet. */
const RETURNING = 2;

/** What its ring and its predecessor leave to a queue. */
export interface PackedRecovery {
  /** The place of the next used descriptor. */
  readonly used: number;
  /** Up to here, behind the first, the ring may have marks of requests that were never given back. */
  readonly marked: number;
  /** Descriptors that were taken, from the next used one on. */
  readonly slots: number;
}

export class PackedInflight {
  readonly #view: DataView;
  readonly #size: number;
  /** Entries that nobody uses: the first `#freeCount` of these. */
  readonly #free: Uint16Array;
  #freeCount = 0;
  /** Requests of a predecessor, or that were put back, in the order in which they were taken: their first entries. */
  #again: number[] = [];
  #counter = 1;

  /** `view` is the area of one queue of up to `size` descriptors, of `inflightSize` bytes; zeroes when it is new. */
  constructor(view: DataView, size: number) {
    this.#view = view;
    this.#size = size;
    this.#free = new Uint16Array(size);
  }

  /**
   * Looks for requests to do again. Without a predecessor the queue starts at the place `start`. `isAvailable`: whether
   * the descriptor at a place is the device's, so that the driver was not told that it is used. Call `recovered` when the
   * ring has been cleared of marks. Throws `E_VIRTQUEUE` for an area that no back end has left.
   */
  recover(start: number, isAvailable: (place: number) => boolean): PackedRecovery {
    const view = this.#view;
    if (view.getUint16(AT.version, true) !== VERSION) {
      view.setUint16(AT.used, start, true);
      view.setUint16(AT.next, start, true);
      view.setUint16(AT.version, VERSION, true);
    }
    const next = view.getUint16(AT.next, true);
    const before = view.getUint16(AT.used, true);
    // The predecessor may have died before or after it made its last requests visible.
    const isPublished = before !== next && !isAvailable(before);
    const heads: number[] = [];
    for (let entry = 0; entry < this.#size; entry++) {
      if (this.#state(entry) === RETURNING && isPublished) this.#setState(entry, FREE);
      if (this.#state(entry) !== FREE) heads.push(entry);
    }
    const used = isPublished ? next : before;
    if (isPublished) view.setUint16(AT.used, used, true);
    return { used, marked: next, slots: this.#adopt(heads) };
  }

  /** The ring has no marks of requests that were not given back. */
  recovered(): void {
    const view = this.#view;
    for (const head of this.#again) this.#setState(head, TAKEN);
    view.setUint16(AT.next, view.getUint16(AT.used, true), true);
  }

  /** How many requests are to be done again. */
  get waiting(): number {
    return this.#again.length;
  }

  /** The next request to do again, by its first entry; -1 when none is left. */
  nextAgain(): number {
    return this.#again.length === 0 ? -1 : this.#again.shift()!;
  }

  /** A request of `nextAgain` was not done, and is the next one again. */
  putBack(head: number): void {
    this.#again.unshift(head);
  }

  /** Copies a descriptor, behind the one at entry `before` unless that is -1; its entry. Throws `E_VIRTQUEUE`. */
  copy(before: number, ring: DataView, at: number): number {
    if (this.#freeCount === 0) throw brokenRing('more descriptors were made available than the ring has');
    const entry = this.#free[--this.#freeCount]!;
    const view = this.#view;
    const to = place(entry);
    view.setUint32(to + ENTRY.address, ring.getUint32(at, true), true);
    view.setUint32(to + ENTRY.address + 4, ring.getUint32(at + 4, true), true);
    view.setUint32(to + ENTRY.length, ring.getUint32(at + 8, true), true);
    view.setUint16(to + ENTRY.id, ring.getUint16(at + 12, true), true);
    view.setUint16(to + ENTRY.flags, ring.getUint16(at + 14, true), true);
    if (before !== -1) view.setUint16(place(before) + ENTRY.next, entry, true);
    return entry;
  }

  /** The descriptors that were copied from entry `head` on, `slots` of them, are a request that was taken. */
  taken(head: number, slots: number): void {
    const view = this.#view;
    const at = place(head);
    view.setUint16(at + ENTRY.count, slots, true);
    view.setUint32(at + ENTRY.counter, this.#counter, true);
    view.setUint32(at + ENTRY.counter + 4, this.#counter / 2 ** 32, true);
    this.#counter++;
    this.#setState(head, TAKEN);
  }

  /** The request, of `slots` descriptors, is available again. */
  untaken(head: number, slots: number): void {
    this.#release(head, slots);
  }

  /** The request is about to be given back: to be called before `moving`. */
  returning(head: number): void {
    this.#setState(head, RETURNING);
  }

  /** To be called before the ring changes, with the place where it stands when all requests are given back. */
  moving(next: number): void {
    this.#view.setUint16(AT.next, next, true);
  }

  /** The driver can see that the request, of `slots` descriptors, was given back. */
  returned(head: number, slots: number): void {
    this.#release(head, slots);
  }

  /** All requests of `returning` are `returned`. */
  moved(next: number): void {
    this.#view.setUint16(AT.used, next, true);
  }

  /** How many entries a request has. Throws `E_VIRTQUEUE` if it cannot have so many. */
  count(head: number): number {
    const count = this.#view.getUint16(place(head) + ENTRY.count, true);
    if (count < 1 || count > this.#size) throw brokenRing(`an in-flight area has a request of ${count} descriptors`);
    return count;
  }

  /** The entry behind `entry` in its request. Throws `E_VIRTQUEUE`. */
  next(entry: number): number {
    const next = this.#view.getUint16(place(entry) + ENTRY.next, true);
    if (next >= this.#size) throw brokenRing(`an in-flight area has ${this.#size} entries, and not number ${next}`);
    return next;
  }

  /** The copy of a descriptor. */
  descriptor(entry: number): { gpa: number; length: number; id: number; flags: number } {
    const view = this.#view;
    const at = place(entry);
    return {
      gpa: view.getUint32(at + ENTRY.address, true) + view.getUint32(at + ENTRY.address + 4, true) * 2 ** 32,
      length: view.getUint32(at + ENTRY.length, true),
      id: view.getUint16(at + ENTRY.id, true),
      flags: view.getUint16(at + ENTRY.flags, true),
    };
  }

  /** Makes these requests those to be done again, and finds the entries that are free; how many descriptors they have. */
  #adopt(heads: number[]): number {
    const counter = (head: number) => Number(this.#view.getBigUint64(place(head) + ENTRY.counter, true));
    this.#again = heads.sort((a, b) => counter(a) - counter(b));
    this.#counter = Math.max(0, ...heads.map(counter)) + 1;
    const isUsed = new Array<boolean>(this.#size).fill(false);
    let slots = 0;
    for (const head of heads) {
      let entry = head;
      for (let left = this.count(head); left > 0; left--) {
        if (isUsed[entry]) throw brokenRing('an in-flight area has two requests with a descriptor in common');
        isUsed[entry] = true;
        slots++;
        if (left > 1) entry = this.next(entry);
      }
    }
    this.#freeCount = 0;
    for (let entry = 0; entry < this.#size; entry++) if (!isUsed[entry]) this.#free[this.#freeCount++] = entry;
    return slots;
  }

  #release(head: number, slots: number): void {
    this.#setState(head, FREE);
    let entry = head;
    for (let left = slots; ; entry = this.next(entry)) {
      this.#free[this.#freeCount++] = entry;
      if (--left === 0) return;
    }
  }

  #state(head: number): number {
    return this.#view.getUint8(place(head) + ENTRY.state);
  }

  #setState(head: number, state: number): void {
    this.#view.setUint8(place(head) + ENTRY.state, state);
  }
}

function place(entry: number): number {
  return HEADER_SIZE + ENTRY_SIZE * entry;
}
