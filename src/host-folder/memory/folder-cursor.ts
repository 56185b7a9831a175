import type { DirectoryEntry } from '../attributes.ts';
import { type Child, FIRST_ORDER, type MemoryNode } from './memory-node.ts';

const SELF = Uint8Array.of(0x2e);
const PARENT = Uint8Array.of(0x2e, 0x2e);

/** Cookies behind `.` and `..`; behind any other entry it is the entry's order. */
const BEHIND_SELF = FIRST_ORDER - 2;
const BEHIND_PARENT = FIRST_ORDER - 1;

/**
 * Reads the entries of a folder, in the order in which they were made, for somebody who has it open. What was there all the time
 * comes once, whatever else is made and removed meanwhile.
 */
export class FolderCursor {
  readonly #folder: MemoryNode;
  #rest: Iterator<[string, Child]>;
  /** The order of the entry that came last, and of the one before. */
  #last = BEHIND_PARENT;
  #before = BEHIND_PARENT;
  #found: [string, Child] | undefined;

  constructor(folder: MemoryNode) {
    this.#folder = folder;
    this.#rest = folder.children.entries();
  }

  /** As `Folder.nextEntry`. */
  next(cookie: number, entry: DirectoryEntry): number {
    if (cookie < BEHIND_PARENT) {
      const isSelf = cookie < BEHIND_SELF;
      put(entry, isSelf ? SELF : PARENT, isSelf ? this.#folder : this.#folder.parent, cookie + 1);
      return 1;
    }
    const found = this.#find(cookie);
    if (found === undefined) return 0;
    const [key, { node, order }] = found;
    put(
      entry,
      Uint8Array.from(key, (character) => character.charCodeAt(0)),
      node,
      order,
    );
    return 1;
  }

  #find(cookie: number): [string, Child] | undefined {
    const found = this.#found;
    // It did not fit where it was to go, so it is asked for again.
    if (found !== undefined && cookie === this.#before && this.#folder.children.get(found[0]) === found[1])
      return found;
    if (cookie !== this.#last) this.#rest = this.#folder.children.entries();
    this.#before = cookie;
    for (;;) {
      const { value, done = false } = this.#rest.next();
      this.#found = done ? undefined : value;
      // Where nothing is left, something may be made later: an iterator that has ended stays so.
      this.#last = done ? -1 : value[1].order;
      if (done || value[1].order > cookie) return this.#found;
    }
  }
}

function put(entry: DirectoryEntry, name: Uint8Array, node: MemoryNode, cookie: number): void {
  entry.name.set({ bytes: name, address: 0 }, 0, name.length);
  entry.inoLow = node.inode;
  entry.inoHigh = 0;
  entry.type = node.type >> 12;
  entry.cookieLow = cookie >>> 0;
  entry.cookieHigh = Math.floor(cookie / 0x1_0000_0000);
}
