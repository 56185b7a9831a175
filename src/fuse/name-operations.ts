/** Operations on names: the node of the request is a folder. */
import { decodeMajor, decodeMinor } from '../host-folder/device-number.ts';
import { EINVAL, ENOENT, EOPNOTSUPP } from '../host-folder/errno.ts';
import type { Folder } from '../host-folder/folder.ts';
import { FUSE_SECURITY_CTX } from './protocol.ts';
import { storeSecurityContext } from './security-context.ts';
import type { FuseSession } from './session.ts';

export function lookup(session: FuseSession): number {
  const { folder, request, entry, options } = session;
  const end = session.takeName(0);
  if (end < 0) return end;
  const result = session.withExisting(request.nodeid, session.name, (name) =>
    folder.lookup(request.nodeid, name, entry),
  );
  if (result === -ENOENT && options.negativeTimeout > 0 && options.cache !== 'never') return replyNothing(session);
  return result < 0 ? result : session.replyEntry();
}

/** An entry without a node: there is no such file, and the guest may remember that. */
function replyNothing({ reply, entry, options }: FuseSession): number {
  entry.inode = 0;
  return reply.entry(0, entry, options.negativeTimeout, 0);
}

export function forget({ folder, request }: FuseSession): void {
  folder.forget(request.nodeid, request.u64(0));
}

/** struct fuse_batch_forget_in: u32 count, and behind 4 bytes more two u64 for each: node, count. */
export function batchForget({ folder, request }: FuseSession): void {
  const count = Math.min(request.u32(0), Math.floor((request.length - 8) / 16));
  for (let i = 0; i < count; i++) folder.forget(request.u64(8 + 16 * i), request.u64(16 + 16 * i));
}

/** struct fuse_mkdir_in: u32 mode, umask. */
export function makeDirectory(session: FuseSession): number {
  const { request, folder, entry, name } = session;
  return make(session, 8, request.u32(4), () => folder.makeDirectory(request.nodeid, name, request.u32(0), entry));
}

/** struct fuse_mknod_in: u32 mode, rdev, umask, padding. */
export function makeNode(session: FuseSession): number {
  const { request, folder, entry, name } = session;
  const device = request.u32(4);
  return make(session, 16, request.u32(8), () =>
    folder.makeNode(request.nodeid, name, request.u32(0), decodeMajor(device), decodeMinor(device), entry),
  );
}

/** Two texts: name and target. */
export function symlink(session: FuseSession): number {
  const { request, folder, entry, name, otherName } = session;
  const end = session.takeName(0);
  const targetEnd = end < 0 ? end : session.takeName(end, otherName);
  if (targetEnd < 0) return targetEnd;
  folder.actAs(request.uid, request.gid, 0);
  const result = folder.symlink(request.nodeid, name, otherName, entry);
  return result < 0 ? result : made(session, targetEnd);
}

/** u64 node of what gets another name. */
export function link(session: FuseSession): number {
  const { request, folder, entry, name } = session;
  const end = session.takeName(8);
  if (end < 0) return end;
  const result = folder.link(request.u64(0), request.nodeid, name, entry);
  return result < 0 ? result : session.replyEntry();
}

export function unlink(session: FuseSession): number {
  const { folder } = session;
  return remove(session, (parent, name) => folder.unlink(parent, name));
}

export function removeDirectory(session: FuseSession): number {
  const { folder } = session;
  return remove(session, (parent, name) => folder.removeDirectory(parent, name));
}

function remove(session: FuseSession, act: Folder['unlink']): number {
  const end = session.takeName(0);
  if (end < 0) return end;
  const { nodeid } = session.request;
  return session.withExisting(nodeid, session.name, (name) => act(nodeid, name));
}

/** u64 node of the new folder. */
export function rename(session: FuseSession): number {
  return move(session, 8, 0);
}

/** u64 node of the new folder, u32 flags, padding. */
export function rename2(session: FuseSession): number {
  return move(session, 16, session.request.u32(8));
}

function move(session: FuseSession, namesAt: number, flags: number): number {
  const { request, folder, name, otherName } = session;
  const end = session.takeName(namesAt);
  if (end < 0 || session.takeName(end, otherName) < 0) return -EINVAL;
  const { nodeid } = request;
  const target = request.u64(0);
  return session.withExisting(nodeid, name, (found) => folder.rename(nodeid, found, target, otherName, flags));
}

/** Makes something with the name at an offset, as the guest's user. */
function make(session: FuseSession, nameAt: number, umask: number, act: () => number): number {
  const { request, folder } = session;
  const end = session.takeName(nameAt);
  if (end < 0) return end;
  folder.actAs(request.uid, request.gid, umask);
  const result = act();
  return result < 0 ? result : made(session, end);
}

/** Something was made: it gets the guest's label, which is behind the texts of the request. */
function made(session: FuseSession, textsEnd: number): number {
  if (session.agreed.has(FUSE_SECURITY_CTX)) {
    const result = storeSecurityContext(session, textsEnd);
    if (result < 0 && result !== -EOPNOTSUPP) {
      session.folder.forget(session.entry.inode, 1);
      return result;
    }
  }
  return session.replyEntry();
}
