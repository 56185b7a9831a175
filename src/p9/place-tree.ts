import type { FileEntry } from '../host-folder/attributes.ts';
import { S_IFDIR, S_IFMT } from '../host-folder/constants.ts';
import { type Folder, ROOT_INODE } from '../host-folder/folder.ts';
import type { Name } from '../host-folder/name.ts';

/** Where a client has walked to: a file, and by what names it came there. */
export class Place {
  readonly inode: number;
  /** S_IFMT of its mode. */
  readonly type: number;
  /** The folder that it is in; undefined for the root and for what has been removed. */
  parent: Place | undefined;
  /** What it is called there (`Name.toKey`). */
  key: string;
  /** Fids at this place, and places in it. */
  uses = 1;
  readonly children: Map<string, Place> | undefined;

  constructor(inode: number, type: number, parent: Place | undefined, key: string) {
    this.inode = inode;
    this.type = type;
    this.parent = parent;
    this.key = key;
    this.children = type === S_IFDIR ? new Map() : undefined;
  }
}

/** Each takes some 200 bytes. */
const MAX_PLACES = 1 << 20;

/**
 * The places that fids are at, and the folders that lead to them. 9P needs them for `..`, and because Tremove and Trename name
 * a file only by its fid. All fids that came by the same names share a place, so it moves for all of them. Of each place the
 * folder has given out its inode once.
 */
export class PlaceTree {
  readonly #folder: Folder;
  #root = new Place(ROOT_INODE, S_IFDIR, undefined, '');
  #count = 1;

  constructor(folder: Folder) {
    this.#folder = folder;
  }

  get root(): Place {
    return this.#root;
  }

  /** One more use. */
  hold(place: Place): Place {
    place.uses++;
    return place;
  }

  /**
   * The place of an entry that the folder has just given out for `name` in `parent`, used once more. Undefined if there are
   * too many; the entry is given back then.
   */
  enter(parent: Place, name: Name, { inode, attributes }: FileEntry): Place | undefined {
    const key = name.toKey();
    const known = parent.children?.get(key);
    if (known?.inode === inode) {
      this.#folder.forget(inode, 1);
      return this.hold(known);
    }
    if (this.#count === MAX_PLACES || parent.children === undefined) {
      this.#folder.forget(inode, 1);
      return undefined;
    }
    // Somebody else has put another file there.
    if (known !== undefined) this.#detach(known);
    const place = new Place(inode, attributes.mode & S_IFMT, this.hold(parent), key);
    parent.children.set(key, place);
    this.#count++;
    return place;
  }

  /** One use less. A place that nobody uses is forgotten. */
  release(place: Place): void {
    for (let at: Place | undefined = place; at !== undefined; ) {
      if (--at.uses > 0) return;
      const { parent, key, inode }: Place = at;
      parent?.children?.delete(key);
      this.#folder.forget(inode, 1);
      this.#count--;
      at = parent;
    }
  }

  /** A name was removed. */
  removed(parent: Place, name: Name): void {
    const place = parent.children?.get(name.toKey());
    if (place !== undefined) this.#detach(place);
  }

  /** A name became another one, which may have been another file's. */
  moved(from: Place, name: Name, to: Place, newName: Name): void {
    const newKey = newName.toKey();
    const place = from.children?.get(name.toKey());
    const replaced = to.children?.get(newKey);
    // Nothing happens where both are names of one file (rename(2)).
    if (place !== undefined && place.inode === replaced?.inode) return;
    if (replaced !== undefined) this.#detach(replaced);
    if (place === undefined) return;
    this.#detach(place);
    // Where the host moves folders meanwhile, what we know of them need not be a tree.
    if (to.children === undefined || isBeneath(to, place)) return;
    place.parent = this.hold(to);
    place.key = newKey;
    to.children.set(newKey, place);
  }

  /** Forgets all but the root, which nobody uses; the folder has been reset. */
  clear(): void {
    this.#root = new Place(ROOT_INODE, S_IFDIR, undefined, '');
    this.#count = 1;
  }

  #detach(place: Place): void {
    const { parent, key } = place;
    if (parent === undefined) return;
    place.parent = undefined;
    parent.children?.delete(key);
    this.release(parent);
  }
}

function isBeneath(place: Place, folder: Place): boolean {
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) if (at === folder) return true;
  return false;
}
