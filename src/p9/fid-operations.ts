/** Operations on the connection and on fids: what they stand for, until they are clunked. */
import { S_IFDIR, XATTR_REPLACE } from '../host-folder/constants.ts';
import { EBADF, EBUSY, EINVAL, EMSGSIZE, ENFILE, ENOENT, EROFS, ESTALE } from '../host-folder/errno.ts';
import { Name } from '../host-folder/name.ts';
import type { ExtendedAttribute } from './extended-attribute.ts';
import { Fid } from './fid-table.ts';
import type { Place } from './place-tree.ts';
import { MAX_MSIZE, MIN_MSIZE, NOFID, NONUNAME, UNKNOWN_VERSION, VERSION } from './protocol.ts';
import type { P9Session } from './session.ts';

/** Who has no number is nobody (the kernel's overflow user). */
const NOBODY = 65534;

const SPOKEN = Name.of(VERSION);
const UNKNOWN = Name.of(UNKNOWN_VERSION);

/** u32 msize, s version; the same is answered. A client that says this starts again, without any fid. */
export function version(session: P9Session): number {
  const { request, reply, name } = session;
  session.reset();
  const msize = Math.min(request.u32(), MAX_MSIZE);
  request.text(name);
  if (msize < MIN_MSIZE) return -EMSGSIZE;
  const isSpoken = name.toKey() === VERSION;
  if (isSpoken) session.msize = msize;
  reply.u32(msize);
  reply.text(isSpoken ? SPOKEN : UNKNOWN);
  return 0;
}

/** u32 fid, afid, s uname, aname, u32 n_uname; answered by a qid. There is one tree, `/`. */
export function attach(session: P9Session): number {
  const { request, places, name, otherName, folder, entry } = session;
  const [number, afid] = [request.u32(), request.u32()];
  request.text(name);
  request.text(otherName);
  const uid = request.u32();
  if (afid !== NOFID) return -EINVAL;
  if (otherName.length > 0 && otherName.toKey() !== '/') return -ENOENT;
  const problem = checkNew(session, number);
  if (problem < 0) return problem;
  const result = folder.getAttributes(places.root.inode, 0, entry.attributes);
  if (result < 0) return result;
  session.fids.add(new Fid(number, places.hold(places.root), uid === NONUNAME ? NOBODY : uid));
  session.replyQid();
  return 0;
}

/** u16 oldtag. Each request is answered before the next one is looked at. */
export function flush(): number {
  return 0;
}

/**
 * u32 fid, newfid, u16 count, s names; answered by u16 count and qids. If only some of the names lead somewhere, their qids are
 * all that happens.
 */
export function walk(session: P9Session): number {
  const { request, reply, places } = session;
  const fid = session.takeFid();
  const number = request.u32();
  if (fid === undefined) return -EBADF;
  if (number === fid.number && fid.isOpen) return -EINVAL;
  const problem = number === fid.number ? 0 : checkNew(session, number);
  if (problem < 0) return problem;
  const names = request.u16();
  const countAt = reply.at;
  reply.u16(0);
  let place = places.hold(fid.place);
  let walked = 0;
  for (; walked < names; walked++) {
    request.text(session.name);
    const next = session.step(place, session.name);
    if (typeof next === 'number' && walked === 0) {
      places.release(place);
      return next;
    }
    if (typeof next === 'number') break;
    places.release(place);
    place = next;
    session.replyQid();
  }
  reply.patchU16(countAt, walked);
  if (walked < names) places.release(place);
  else putAt(session, fid, number, place);
  return 0;
}

/** Makes a number stand for a place, whose use it takes. */
function putAt(session: P9Session, from: Fid, number: number, place: Place): void {
  if (number === from.number) {
    session.places.release(from.place);
    from.place = place;
  } else {
    session.fids.add(new Fid(number, place, from.uid));
  }
}

/** Whether a number can stand for something new. */
export function checkNew({ fids }: P9Session, number: number): number {
  if (number === NOFID || fids.get(number) !== undefined) return -EBADF;
  return fids.isFull ? -ENFILE : 0;
}

/** u32 fid. */
export function clunk(session: P9Session): number {
  const fid = session.takeFid();
  return fid === undefined ? -EBADF : close(session, fid);
}

/** u32 fid, which is clunked whatever happens. */
export function remove(session: P9Session): number {
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  const result = session.options.readOnly ? -EROFS : removePlace(session, fid.place);
  close(session, fid);
  return result;
}

function removePlace(session: P9Session, place: Place): number {
  const { folder, places } = session;
  const found = nameOf(session, place);
  if (typeof found === 'number') return found;
  const { parent, name } = found;
  const { inode } = parent;
  const result = place.type === S_IFDIR ? folder.removeDirectory(inode, name) : folder.unlink(inode, name);
  if (result === 0) places.removed(parent, name);
  return result;
}

/** What a place is called, and where; or a negative errno if the host has put another file there. */
export function nameOf({ folder, places, entry }: P9Session, place: Place): { parent: Place; name: Name } | number {
  const { parent, key, inode } = place;
  if (parent === undefined) return place === places.root ? -EBUSY : -ESTALE;
  const name = Name.ofKey(key);
  if (folder.lookup(parent.inode, name, entry) < 0) return -ESTALE;
  folder.forget(entry.inode, 1);
  return entry.inode === inode ? { parent, name } : -ESTALE;
}

/** Ends a fid. The result is that of what was put off until now. */
function close(session: P9Session, fid: Fid): number {
  const { folder, fids, places } = session;
  fids.remove(fid);
  let result = 0;
  if (fid.attribute !== undefined) {
    result = store(session, fid.place.inode, fid.attribute);
    session.attributeBudget.give(fid.attribute);
  }
  if (fid.file !== 0) {
    for (const owner of fid.lockOwners ?? []) folder.releaseLocks(fid.file, owner);
    folder.release(fid.file);
  }
  places.release(fid.place);
  return result;
}

/** Sets the attribute that a client has written; nothing instead of what was there (XATTR_REPLACE) means to remove it. */
function store({ folder, scratch }: P9Session, inode: number, { bytes, target }: ExtendedAttribute): number {
  if (target === undefined) return 0;
  const name = Name.ofKey(target.key);
  if (bytes.length === 0 && target.flags === XATTR_REPLACE) return folder.removeExtended(inode, name);
  scratch.bytes.set(bytes);
  return folder.setExtended(inode, name, new Name(scratch, 0, bytes.length), target.flags);
}
