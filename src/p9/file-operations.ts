/** Operations on open files. */
import { O_ACCMODE, O_RDONLY, O_TRUNC, S_IFDIR } from '../host-folder/constants.ts';
import { EBADF, EFBIG, EINVAL, EISDIR, ENOMEM, ENOSPC, EROFS } from '../host-folder/errno.ts';
import { isOffset } from '../host-folder/file-session.ts';
import type { ExtendedAttribute } from './extended-attribute.ts';
import type { Fid } from './fid-table.ts';
import { WRITE_HEADER_SIZE } from './protocol.ts';
import { type P9Session, qidType } from './session.ts';

/** u32 fid, flags; answered by a qid and u32 iounit, 0 for what fits a message. */
export function open(session: P9Session): number {
  const { request, reply, folder, options } = session;
  const fid = session.takeFid();
  const flags = request.u32();
  if (fid === undefined || fid.isOpen) return -EBADF;
  const { inode, type } = fid.place;
  if (options.readOnly && isWriting(flags)) return -EROFS;
  if (type === S_IFDIR && isWriting(flags)) return -EISDIR;
  const file = type === S_IFDIR ? folder.openDirectory(inode) : folder.open(inode, flags);
  if (file < 0) return file;
  setOpen(fid, file, flags);
  const result = session.stat(fid);
  if (result < 0) return result;
  session.replyQid();
  reply.u32(0);
  return 0;
}

/** u32 fid of a folder, which becomes that of the file; s name, u32 flags, mode, gid; answered by a qid and u32 iounit. */
export function create(session: P9Session): number {
  const { request, reply, folder, places, name, entry } = session;
  const fid = session.takeFid();
  request.text(name);
  const [flags, mode] = [request.u32(), request.u32()];
  if (fid === undefined || fid.isOpen) return -EBADF;
  folder.actAs(fid.uid, request.u32(), 0);
  const file = folder.create(fid.place.inode, name, flags, mode, entry);
  if (file < 0) return file;
  const place = places.enter(fid.place, name, entry);
  if (place === undefined) {
    folder.release(file);
    return -ENOMEM;
  }
  places.release(fid.place);
  fid.place = place;
  setOpen(fid, file, flags);
  session.replyQid();
  reply.u32(0);
  return 0;
}

function setOpen(fid: Fid, file: number, flags: number): void {
  fid.file = file;
  fid.isWritable = (flags & O_ACCMODE) !== O_RDONLY;
}

function isWriting(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}

/** u32 fid, u64 offset, u32 count; answered by u32 count and data. */
export function read(session: P9Session): number {
  const { request, reply, folder, msize } = session;
  const fid = session.takeFid();
  if (fid === undefined || !fid.isOpen) return -EBADF;
  const offset = request.u64();
  if (!isOffset(offset)) return -EINVAL;
  reply.expectData(Math.min(request.u32(), reply.room(msize)));
  if (fid.attribute !== undefined) return readAttribute(session, fid.attribute, offset);
  if (fid.place.type === S_IFDIR) return -EISDIR;
  const length = folder.read(fid.file, offset, reply.data);
  if (length < 0) return length;
  reply.gotData(length);
  return 0;
}

function readAttribute({ reply }: P9Session, { bytes }: ExtendedAttribute, offset: number): number {
  reply.gotData(reply.data.copyFrom(bytes.subarray(Math.min(offset, bytes.length))));
  return 0;
}

/** u32 fid, u64 offset, u32 count, data; answered by u32 count. */
export function write(session: P9Session): number {
  const { request, reply, folder, input, data } = session;
  const fid = session.takeFid();
  if (fid === undefined || !fid.isOpen) return -EBADF;
  const [offset, count] = [request.u64(), request.u32()];
  if (!isOffset(offset + count)) return -EFBIG;
  if (fid.attribute !== undefined) return writeAttribute(session, fid.attribute, offset, count);
  data.clear();
  data.addRange(input, WRITE_HEADER_SIZE, count);
  const written = folder.write(fid.file, offset, data);
  if (written < 0) return written;
  reply.u32(written);
  return 0;
}

function writeAttribute(
  { reply, input }: P9Session,
  { bytes, target }: ExtendedAttribute,
  offset: number,
  count: number,
): number {
  if (target === undefined) return -EBADF;
  if (offset + count > bytes.length) return -ENOSPC;
  input.copyTo(bytes.subarray(offset), WRITE_HEADER_SIZE, count);
  reply.u32(count);
  return 0;
}

/** u32 fid, dataOnly. */
export function sync(session: P9Session): number {
  const { request, folder } = session;
  const fid = session.takeFid();
  if (fid === undefined || fid.file === 0) return -EBADF;
  return folder.sync(fid.file, request.u32() !== 0);
}

/** u64 offset, u8 type and s name behind a qid. */
const DIRENT_SIZE = 13 + 8 + 1 + 2;

/** u32 fid, u64 offset, u32 count; answered by u32 count and entries: qid, u64 offset of the next one, u8 type, s name. */
export function readDirectory(session: P9Session): number {
  const { request, reply, folder, directoryEntry: next, msize } = session;
  const fid = session.takeFid();
  if (fid === undefined || fid.file === 0) return -EBADF;
  let [low, high] = [request.u32(), request.u32()];
  const start = reply.at;
  reply.u32(0);
  const end = reply.at + Math.min(request.u32(), reply.ownRoom(msize));
  for (;;) {
    const result = folder.nextEntry(fid.file, low, high, next);
    const isFirst = reply.at === start + 4;
    if (result < 0 && isFirst) return result;
    if (result <= 0) break;
    if (reply.at + DIRENT_SIZE + next.name.length > end) {
      if (isFirst) return -EINVAL;
      break;
    }
    replyEntry(session);
    low = next.cookieLow;
    high = next.cookieHigh;
  }
  reply.patchU32(start, reply.at - start - 4);
  return 0;
}

function replyEntry(session: P9Session): void {
  const { reply, directoryEntry: from } = session;
  session.replyQidOf(qidType(from.type << 12), 0, from.inoLow, from.inoHigh);
  reply.u32(from.cookieLow);
  reply.u32(from.cookieHigh);
  reply.u8(from.type);
  reply.text(from.name);
}
