/** Operations on names in folders. */
import { EBADF } from '../host-folder/errno.ts';
import type { Name } from '../host-folder/name.ts';
import { nameOf } from './fid-operations.ts';
import type { Fid } from './fid-table.ts';
import type { Place } from './place-tree.ts';
import { AT_REMOVEDIR } from './protocol.ts';
import type { P9Session } from './session.ts';

/** u32 fid of the folder, s name, target, u32 gid; answered by a qid. */
export function symlink(session: P9Session): number {
  const { request, folder, name, otherName, entry } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  request.text(name);
  request.text(otherName);
  folder.actAs(fid.uid, request.u32(), 0);
  return made(session, folder.symlink(fid.place.inode, name, otherName, entry));
}

/** u32 fid of the folder, s name, u32 mode, major, minor, gid; answered by a qid. */
export function makeNode(session: P9Session): number {
  const { request, folder, name, entry } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  request.text(name);
  const [mode, major, minor] = [request.u32(), request.u32(), request.u32()];
  folder.actAs(fid.uid, request.u32(), 0);
  return made(session, folder.makeNode(fid.place.inode, name, mode, major, minor, entry));
}

/** u32 fid of the folder, s name, u32 mode, gid; answered by a qid. */
export function makeDirectory(session: P9Session): number {
  const { request, folder, name, entry } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  request.text(name);
  const mode = request.u32();
  folder.actAs(fid.uid, request.u32(), 0);
  return made(session, folder.makeDirectory(fid.place.inode, name, mode, entry));
}

/** Something was made; a client that wants to use it walks there. */
function made(session: P9Session, result: number): number {
  if (result < 0) return result;
  session.folder.forget(session.entry.inode, 1);
  session.replyQid();
  return 0;
}

/** u32 fid of the folder, fid of the file, s name. */
export function link(session: P9Session): number {
  const { request, folder, name, entry } = session;
  const parent = session.takeFid();
  const fid = session.takeFid();
  if (parent === undefined || fid === undefined) return -EBADF;
  request.text(name);
  const result = folder.link(fid.place.inode, parent.place.inode, name, entry);
  if (result === 0) folder.forget(entry.inode, 1);
  return Math.min(0, result);
}

/** u32 fid of the folder, s name, u32 flags. */
export function unlinkAt(session: P9Session): number {
  const { request, folder, places, name } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  request.text(name);
  const isFolder = (request.u32() & AT_REMOVEDIR) !== 0;
  const { inode } = fid.place;
  return session.withExisting(inode, name, (found) => {
    const result = isFolder ? folder.removeDirectory(inode, found) : folder.unlink(inode, found);
    if (result === 0) places.removed(fid.place, found);
    return result;
  });
}

/** u32 fid of the old folder, s name, u32 fid of the new one, s name. */
export function renameAt(session: P9Session): number {
  const { request, name, otherName } = session;
  const from = session.takeFid();
  request.text(name);
  const to = session.takeFid();
  request.text(otherName);
  if (from === undefined || to === undefined) return -EBADF;
  return session.withExisting(from.place.inode, name, (found) => move(session, from.place, found, to, otherName));
}

/** u32 fid of what is renamed, fid of the new folder, s name. */
export function rename(session: P9Session): number {
  const { request, otherName } = session;
  const fid = session.takeFid();
  const to = session.takeFid();
  if (fid === undefined || to === undefined) return -EBADF;
  request.text(otherName);
  const found = nameOf(session, fid.place);
  return typeof found === 'number' ? found : move(session, found.parent, found.name, to, otherName);
}

function move({ folder, places }: P9Session, from: Place, name: Name, to: Fid, newName: Name): number {
  const result = folder.rename(from.inode, name, to.place.inode, newName, 0);
  if (result === 0) places.moved(from, name, to.place, newName);
  return result;
}
