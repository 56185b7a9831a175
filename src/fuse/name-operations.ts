/** Operations on names: the node of the request is a folder. */
import { decodeMajor, decodeMinor } from '../host-folder/device-number.ts';
import { EINVAL, ENOENT } from '../host-folder/errno.ts';
import { FUSE_SECURITY_CTX } from './protocol.ts';
import { storeSecurityContext } from './security-context.ts';
import type { FuseSession } from './session.ts';

export function lookup(session: FuseSession): number {
  const { folder, request, name, entry, options } = session;
  const end = session.takeName(0);
  if (end < 0) return end;
  let result = folder.lookup(request.nodeid, name, entry);
  if (result === -ENOENT && session.foldName()) result = folder.lookup(request.nodeid, name, entry);
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
  const end = prepare(session, 8, request.u32(4));
  return end < 0 ? end : made(session, folder.makeDirectory(request.nodeid, name, request.u32(0), entry), end);
}

/** struct fuse_mknod_in: u32 mode, rdev, umask, padding. */
export function makeNode(session: FuseSession): number {
  const { request, folder, entry, name } = session;
  const end = prepare(session, 16, request.u32(8));
  if (end < 0) return end;
  const [mode, device] = [request.u32(0), request.u32(4)];
  const result = folder.makeNode(request.nodeid, name, mode, decodeMajor(device), decodeMinor(device), entry);
  return made(session, result, end);
}

/** Two texts: name and target. */
export function symlink(session: FuseSession): number {
  const { request, folder, entry, name, otherName } = session;
  const end = prepare(session, 0, 0);
  const targetEnd = end < 0 ? end : session.takeName(end, otherName);
  if (targetEnd < 0) return targetEnd;
  return made(session, folder.symlink(request.nodeid, name, otherName, entry), targetEnd);
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
  const { folder, request, name } = session;
  const end = session.takeName(0);
  if (end < 0) return end;
  const result = folder.unlink(request.nodeid, name);
  return result === -ENOENT && session.foldName() ? folder.unlink(request.nodeid, name) : result;
}

export function removeDirectory(session: FuseSession): number {
  const { folder, request, name } = session;
  const end = session.takeName(0);
  if (end < 0) return end;
  const result = folder.removeDirectory(request.nodeid, name);
  return result === -ENOENT && session.foldName() ? folder.removeDirectory(request.nodeid, name) : result;
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
  const target = request.u64(0);
  const result = folder.rename(request.nodeid, name, target, otherName, flags);
  if (result !== -ENOENT || !session.foldName()) return result;
  return folder.rename(request.nodeid, name, target, otherName, flags);
}

/** Before something with the name at an offset is made, as the guest's user. Returns the offset behind it, or a negative errno. */
function prepare(session: FuseSession, nameAt: number, umask: number): number {
  const { request, folder } = session;
  const end = session.takeName(nameAt);
  if (end >= 0) folder.actAs(request.uid, request.gid, umask);
  return end;
}

/** If something was made, it gets the guest's label, which is behind the texts of the request. */
function made(session: FuseSession, result: number, textsEnd: number): number {
  if (result < 0) return result;
  if (session.agreed.has(FUSE_SECURITY_CTX)) {
    const stored = storeSecurityContext(session, textsEnd);
    if (stored < 0) {
      session.folder.forget(session.entry.inode, 1);
      return stored;
    }
  }
  return session.replyEntry();
}
