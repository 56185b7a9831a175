/** Operations on what is known of a file: attributes, extended attributes, the target of a link, its file system. */
import { encodeDevice } from '../host-folder/device-number.ts';
import { EBADF, EFBIG, EINVAL, ENOMEM, ERANGE } from '../host-folder/errno.ts';
import { isOffset } from '../host-folder/file-session.ts';
import { ExtendedAttribute } from './extended-attribute.ts';
import { checkNew } from './fid-operations.ts';
import { Fid } from './fid-table.ts';
import {
  P9_GETATTR_BASIC,
  P9_GETATTR_BTIME,
  P9_SETATTR_ATIME,
  P9_SETATTR_ATIME_SET,
  P9_SETATTR_GID,
  P9_SETATTR_MODE,
  P9_SETATTR_MTIME,
  P9_SETATTR_MTIME_SET,
  P9_SETATTR_SIZE,
  P9_SETATTR_UID,
} from './protocol.ts';
import { type P9Session, XATTR_SIZE_MAX } from './session.ts';

/**
 * u32 fid, u64 wanted fields; answered by u64 fields, qid, u32 mode, uid, gid, u64 links, device, size, block size, blocks, four
 * times (atime, mtime, ctime, btime) in u64 seconds and nanoseconds, u64 generation, data version. What costs nothing is
 * answered whether it was wanted or not.
 */
export function getAttributes(session: P9Session): number {
  const { reply, entry } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  const result = session.stat(fid);
  if (result < 0) return result;
  const from = entry.attributes;
  reply.u64(from.hasBirth ? P9_GETATTR_BASIC | P9_GETATTR_BTIME : P9_GETATTR_BASIC);
  session.replyQid();
  reply.u32(from.mode);
  reply.u32(from.uid);
  reply.u32(from.gid);
  reply.u64(from.links);
  reply.u64(encodeDevice(from.major, from.minor));
  reply.u64(from.size);
  reply.u64(from.blockSize);
  reply.u64(from.blocks);
  reply.u64(from.atime);
  reply.u64(from.atimeNs);
  reply.u64(from.mtime);
  reply.u64(from.mtimeNs);
  reply.u64(from.ctime);
  reply.u64(from.ctimeNs);
  reply.u64(from.hasBirth ? from.btime : 0);
  reply.u64(from.hasBirth ? from.btimeNs : 0);
  reply.u64(0);
  reply.u64(0);
  return 0;
}

/** u32 fid, fields, mode, uid, gid, u64 size, atime and mtime in u64 seconds and nanoseconds. */
export function setAttributes(session: P9Session): number {
  const { request, folder, changes, entry } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  const valid = request.u32();
  const [mode, uid, gid, size] = [request.u32(), request.u32(), request.u32(), request.u64()];
  changes.clear();
  if ((valid & P9_SETATTR_MODE) !== 0) changes.mode = mode;
  if ((valid & P9_SETATTR_UID) !== 0) changes.uid = uid;
  if ((valid & P9_SETATTR_GID) !== 0) changes.gid = gid;
  if ((valid & P9_SETATTR_SIZE) !== 0) changes.size = size;
  const atime = request.i64();
  if ((valid & P9_SETATTR_ATIME) !== 0) changes.atime = (valid & P9_SETATTR_ATIME_SET) !== 0 ? atime : 'now';
  changes.atimeNs = request.u64();
  const mtime = request.i64();
  if ((valid & P9_SETATTR_MTIME) !== 0) changes.mtime = (valid & P9_SETATTR_MTIME_SET) !== 0 ? mtime : 'now';
  changes.mtimeNs = request.u64();
  if (!isOffset(changes.size ?? 0)) return -EFBIG;
  if (!areTimes(session)) return -EINVAL;
  // A file that is open only for reading cannot be cut through its descriptor, but perhaps by its name.
  const file = changes.size === undefined || fid.isWritable ? fid.file : 0;
  return folder.setAttributes(fid.place.inode, file, changes, entry.attributes);
}

function areTimes({ changes: { atime = 0, mtime = 0, atimeNs, mtimeNs } }: P9Session): boolean {
  return isTime(atime, atimeNs) && isTime(mtime, mtimeNs);
}

/** Nanoseconds count only where there are seconds. */
function isTime(time: number | 'now', nanoseconds: number): boolean {
  return time === 'now' || (Number.isSafeInteger(time) && nanoseconds < 1e9);
}

/** u32 fid; answered by s target. */
export function readLink(session: P9Session): number {
  const { reply, folder, otherName, scratch } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  const length = folder.readLink(fid.place.inode, scratch);
  if (length < 0) return length;
  reply.text(otherName.set(scratch, 0, length));
  return 0;
}

/** u32 fid; answered by u32 type, block size, u64 blocks, free, available, files, free files, fsid, u32 name length. */
export function statistics(session: P9Session): number {
  const { reply, folder, statistics: from } = session;
  const fid = session.takeFid();
  if (fid === undefined) return -EBADF;
  const result = folder.statistics(fid.place.inode, from);
  if (result < 0) return result;
  reply.u32(from.type >>> 0);
  reply.u32(from.fragmentSize);
  reply.u64(from.blocks);
  reply.u64(from.free);
  reply.u64(from.available);
  reply.u64(from.files);
  reply.u64(from.freeFiles);
  reply.u64(0);
  reply.u32(from.nameLength);
  return 0;
}

/** u32 fid, newfid, s name; answered by u64 size. The new fid is for reading the attribute, or the names of all of them. */
export function walkExtended(session: P9Session): number {
  const { request, reply, folder, places, fids, name, scratch, attributeBudget } = session;
  const fid = session.takeFid();
  const number = request.u32();
  request.text(name);
  if (fid === undefined) return -EBADF;
  const problem = checkNew(session, number);
  if (problem < 0) return problem;
  const { inode } = fid.place;
  const length =
    name.length === 0
      ? folder.listExtended(inode, scratch, XATTR_SIZE_MAX)
      : folder.getExtended(inode, name, scratch, XATTR_SIZE_MAX);
  if (length < 0) return length;
  if (!attributeBudget.take(length)) return -ENOMEM;
  const opened = new Fid(number, places.hold(fid.place), fid.uid);
  opened.attribute = new ExtendedAttribute(scratch.bytes.slice(0, length));
  fids.add(opened);
  reply.u64(length);
  return 0;
}

/** u32 fid, s name, u64 size, u32 flags. From now on the fid is for writing the attribute; it is set when it is clunked. */
export function createExtended(session: P9Session): number {
  const { request, name, attributeBudget } = session;
  const fid = session.takeFid();
  request.text(name);
  const [size, flags] = [request.u64(), request.u32()];
  if (fid === undefined || fid.isOpen) return -EBADF;
  if (size > XATTR_SIZE_MAX) return -ERANGE;
  if (!attributeBudget.take(size)) return -ENOMEM;
  fid.attribute = new ExtendedAttribute(new Uint8Array(size), { key: name.toKey(), flags });
  return 0;
}
