import { findFolded } from '../host-folder/case-folding.ts';
import { S_IFDIR, S_IFLNK, S_IFMT } from '../host-folder/constants.ts';
import { ENOENT, ENOMEM } from '../host-folder/errno.ts';
import { FileSession } from '../host-folder/file-session.ts';
import type { Folder } from '../host-folder/folder.ts';
import type { Name } from '../host-folder/name.ts';
import type { HostMemory } from '../memory/scatter-list.ts';
import { AttributeBudget } from './extended-attribute.ts';
import { type Fid, FidTable } from './fid-table.ts';
import type { P9Options } from './p9-options.ts';
import { type Place, PlaceTree } from './place-tree.ts';
import { QTDIR, QTFILE, QTSYMLINK } from './protocol.ts';
import { P9Reply } from './reply.ts';
import { P9Request } from './request.ts';

/**
 * Carries out one kind of request: reads the fields of `request`, appends those of the answer to `reply`. Returns 0 or a
 * negative errno.
 */
export type Operation = (session: P9Session) => number;

/** The longest value of an extended attribute, and the longest list of their names. */
export const XATTR_SIZE_MAX = 65536;

/** What all operations share, with what was agreed on. */
export class P9Session extends FileSession {
  readonly options: P9Options;
  readonly fids = new FidTable();
  readonly places: PlaceTree;
  readonly attributeBudget = new AttributeBudget();
  readonly request = new P9Request();
  readonly reply = new P9Reply();
  /** For extended attributes on their way. */
  readonly scratch: HostMemory = { bytes: new Uint8Array(XATTR_SIZE_MAX), address: 0 };
  /** Bytes of the longest message; 0 before Tversion. */
  msize = 0;

  constructor(folder: Folder, options: P9Options) {
    super(folder);
    this.options = options;
    this.places = new PlaceTree(folder);
  }

  /** The fid that is the request's next field. */
  takeFid(): Fid | undefined {
    return this.fids.get(this.request.u32());
  }

  /** All is as before Tversion. */
  reset(): void {
    this.msize = 0;
    this.fids.clear();
    this.places.clear();
    this.attributeBudget.clear();
    this.folder.reset();
  }

  /**
   * The place that one name leads to, used once more; `entry.attributes` are its. Or a negative errno. What is above the root
   * is the root.
   */
  step(from: Place, name: Name): Place | number {
    if (name.isDots) return this.#show(name.length === 1 || from === this.places.root ? from : from.parent);
    let found = name;
    const result = this.withExisting(from.inode, name, (actual) => {
      found = actual;
      return this.folder.lookup(from.inode, actual, this.entry);
    });
    if (result < 0) return result;
    return this.places.enter(from, found, this.entry) ?? -ENOMEM;
  }

  #show(place: Place | undefined): Place | number {
    if (place === undefined) return -ENOENT;
    const result = this.folder.getAttributes(place.inode, 0, this.entry.attributes);
    return result < 0 ? result : this.places.hold(place);
  }

  /** An operation on a name that is there, in whatever case it is written if that is not to matter. */
  withExisting(parent: number, name: Name, act: (name: Name) => number): number {
    const result = act(name);
    if (result !== -ENOENT || !this.options.asciiCasefold) return result;
    return findFolded(this.folder, parent, name, this.directoryEntry) ? act(name) : result;
  }

  /** Fills `entry.attributes` with those of a fid's file. */
  stat({ place, file }: Fid): number {
    return this.folder.getAttributes(place.inode, file, this.entry.attributes);
  }

  /** Appends the qid of the file that `entry.attributes` are of. Its version changes with the file. */
  replyQid(): void {
    const { mode, mtime, mtimeNs, size, inoLow, inoHigh } = this.entry.attributes;
    this.replyQidOf(qidType(mode), mtime ^ mtimeNs ^ (size << 8), inoLow, inoHigh);
  }

  /** Appends a qid: u8 type, u32 version, u64 path, which tells files apart. */
  replyQidOf(type: number, version: number, inoLow: number, inoHigh: number): void {
    const { reply } = this;
    reply.u8(type);
    reply.u32(version);
    reply.u32(inoLow);
    reply.u32(inoHigh);
  }
}

export function qidType(mode: number): number {
  const type = mode & S_IFMT;
  if (type === S_IFDIR) return QTDIR;
  return type === S_IFLNK ? QTSYMLINK : QTFILE;
}
