/** Operations on what is known of a file: attributes, extended attributes, the target of a link, its file system. */
import { S_ISGID } from '../host-folder/constants.ts';
import { EFBIG, EINVAL } from '../host-folder/errno.ts';
import { isOffset } from '../host-folder/file-session.ts';
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_FH,
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_SIZE,
  FATTR_UID,
  FUSE_GETATTR_FH,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_SETXATTR_EXT,
} from './protocol.ts';
import type { FuseSession } from './session.ts';

const XATTR_SIZE_MAX = 65536;
const STATFS_OUT_SIZE = 80;

/** struct fuse_getattr_in: u32 flags, padding, u64 file. */
export function getAttributes(session: FuseSession): number {
  const { request, reply, folder, entry } = session;
  const file = (request.u32(0) & FUSE_GETATTR_FH) !== 0 ? request.u64(8) : 0;
  const result = folder.getAttributes(request.nodeid, file, entry.attributes);
  return result < 0 ? result : reply.timedAttributes(entry.attributes, session.timeout);
}

/** struct fuse_statx_in: u32 flags, reserved, u64 file, u32 sx_flags, sx_mask. */
export function statx(session: FuseSession): number {
  const { request, reply, folder, entry } = session;
  const file = (request.u32(0) & FUSE_GETATTR_FH) !== 0 ? request.u64(8) : 0;
  const result = folder.getAttributes(request.nodeid, file, entry.attributes);
  return result < 0 ? result : reply.statx(entry.attributes, session.timeout);
}

/**
 * struct fuse_setattr_in: u32 valid, padding, u64 file, size, lock_owner, atime, mtime, ctime, u32 atimensec, mtimensec,
 * ctimensec, mode, unused, uid, gid.
 */
export function setAttributes(session: FuseSession): number {
  const { request, reply, folder, entry, changes } = session;
  const valid = request.u32(0);
  changes.clear();
  if ((valid & FATTR_MODE) !== 0) changes.mode = request.u32(68);
  if ((valid & FATTR_UID) !== 0) changes.uid = request.u32(76);
  if ((valid & FATTR_GID) !== 0) changes.gid = request.u32(80);
  if ((valid & FATTR_SIZE) !== 0) changes.size = request.u64(16);
  if ((valid & FATTR_ATIME) !== 0) changes.atime = request.i64(32);
  if ((valid & FATTR_MTIME) !== 0) changes.mtime = request.i64(40);
  if ((valid & FATTR_ATIME_NOW) !== 0) changes.atime = 'now';
  if ((valid & FATTR_MTIME_NOW) !== 0) changes.mtime = 'now';
  changes.atimeNs = request.u32(56);
  changes.mtimeNs = request.u32(60);
  changes.killsPrivileges = (valid & FATTR_KILL_SUIDGID) !== 0;
  if (!isOffset(changes.size ?? 0)) return -EFBIG;
  if (!areTimes(session)) return -EINVAL;
  const file = (valid & FATTR_FH) !== 0 ? request.u64(8) : 0;
  const result = folder.setAttributes(request.nodeid, file, changes, entry.attributes);
  return result < 0 ? result : reply.timedAttributes(entry.attributes, session.timeout);
}

function areTimes({ changes: { atime = 0, mtime = 0, atimeNs, mtimeNs } }: FuseSession): boolean {
  const isTime = (time: number | 'now') => time === 'now' || Number.isSafeInteger(time);
  return isTime(atime) && isTime(mtime) && atimeNs < 1e9 && mtimeNs < 1e9;
}

export function readLink({ request, reply, folder }: FuseSession): number {
  const length = folder.readLink(request.nodeid, reply.payload);
  return Math.min(length, reply.room);
}

/** struct fuse_setxattr_in: u32 size, flags, and, if that was agreed on, u32 setxattr_flags, padding. */
export function setExtended(session: FuseSession): number {
  const { request, folder, name, otherName } = session;
  const isLong = session.agreed.has(FUSE_SETXATTR_EXT);
  const end = session.takeName(isLong ? 16 : 8);
  if (end < 0) return end;
  if (!request.bytes(end, request.u32(0), otherName)) return -EINVAL;
  const result = folder.setExtended(request.nodeid, name, otherName, request.u32(4));
  if (result < 0 || !isLong || (request.u32(8) & FUSE_SETXATTR_ACL_KILL_SGID) === 0) return result;
  return killGroup(session);
}

/** The guest's user is not of the group that a new ACL is for. */
function killGroup({ request, folder, entry, changes }: FuseSession): number {
  const result = folder.getAttributes(request.nodeid, 0, entry.attributes);
  if (result < 0) return result;
  changes.clear();
  changes.mode = entry.attributes.mode & ~S_ISGID;
  return folder.setAttributes(request.nodeid, 0, changes, entry.attributes);
}

/** struct fuse_getxattr_in: u32 size, padding. With size 0 the answer is struct fuse_getxattr_out, the size that it takes. */
export function getExtended(session: FuseSession): number {
  const { request, reply, folder, name } = session;
  const end = session.takeName(8);
  if (end < 0) return end;
  const size = Math.min(request.u32(0), XATTR_SIZE_MAX, reply.room);
  const length = folder.getExtended(request.nodeid, name, reply.payload, size);
  return length < 0 || size > 0 ? length : replySize(session, length);
}

/** The same argument, without a name. */
export function listExtended(session: FuseSession): number {
  const { request, reply, folder } = session;
  const size = Math.min(request.u32(0), XATTR_SIZE_MAX, reply.room);
  const length = folder.listExtended(request.nodeid, reply.payload, size);
  return length < 0 || size > 0 ? length : replySize(session, length);
}

function replySize({ reply }: FuseSession, size: number): number {
  reply.u32(0, size);
  reply.u32(4, 0);
  return 8;
}

export function removeExtended(session: FuseSession): number {
  const { request, folder, name } = session;
  const end = session.takeName(0);
  return end < 0 ? end : folder.removeExtended(request.nodeid, name);
}

/** struct fuse_kstatfs: u64 blocks, bfree, bavail, files, ffree, u32 bsize, namelen, frsize. */
export function statistics({ request, reply, folder, statistics: from }: FuseSession): number {
  const result = folder.statistics(request.nodeid, from);
  if (result < 0) return result;
  reply.clear(0, STATFS_OUT_SIZE);
  for (const [i, value] of [from.blocks, from.free, from.available, from.files, from.freeFiles].entries()) {
    reply.u64(8 * i, value);
  }
  reply.u32(40, from.blockSize);
  reply.u32(44, from.nameLength);
  reply.u32(48, from.fragmentSize);
  return STATFS_OUT_SIZE;
}

export function syncFileSystem({ request, folder }: FuseSession): number {
  return folder.syncFileSystem(request.nodeid);
}
