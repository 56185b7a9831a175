/** Pieces of files as memory of the guest (DAX). */
import { O_RDONLY, O_RDWR } from '../host-folder/constants.ts';
import { EINVAL, ENOSYS, EROFS } from '../host-folder/errno.ts';
import { isOffset } from '../host-folder/file-session.ts';
import { FUSE_MAP_ALIGNMENT, FUSE_SETUPMAPPING_FLAG_WRITE } from './protocol.ts';
import type { FuseSession } from './session.ts';

const PAGE = 4096;
/** u32 count; then u64 offset in the window and length for each. */
const REMOVE_HEADER = 4;
const REMOVE_ENTRY = 16;

/**
 * struct fuse_setupmapping_in: u64 file, offset in it, length, flags, offset in the window. Linux names no file: whoever has
 * the inode may have had it open. The piece may go beyond the file's end, which the guest knows.
 */
export function setUpMapping(session: FuseSession): number {
  const { request, folder, window, options } = session;
  if (!session.agreed.has(FUSE_MAP_ALIGNMENT)) return -ENOSYS;
  const [fdOffset, length, offset] = [request.u64(8), request.u64(16), request.u64(32)];
  const isWriting = (request.u32(24) & FUSE_SETUPMAPPING_FLAG_WRITE) !== 0;
  if (isWriting && options.readOnly) return -EROFS;
  if (!isPart(offset, length, window.size) || fdOffset % PAGE !== 0 || !isOffset(fdOffset + length)) return -EINVAL;
  const file = folder.open(request.nodeid, isWriting ? O_RDWR : O_RDONLY);
  if (file < 0) return file;
  const fd = folder.descriptor(file);
  const result = fd < 0 ? fd : window.map(fd, fdOffset, offset, length, isWriting);
  folder.release(file);
  return result;
}

/** struct fuse_removemapping_in and its entries. */
export function removeMapping(session: FuseSession): number {
  const { request, window } = session;
  if (!session.agreed.has(FUSE_MAP_ALIGNMENT)) return -ENOSYS;
  const count = request.u32(0);
  if (request.length < REMOVE_HEADER + count * REMOVE_ENTRY) return -EINVAL;
  let result = 0;
  for (let i = 0; i < count; i++) {
    const at = REMOVE_HEADER + i * REMOVE_ENTRY;
    const [offset, length] = [request.u64(at), request.u64(at + 8)];
    const removed = isPart(offset, length, window.size) ? window.unmap(offset, length) : -EINVAL;
    if (removed < 0) result = removed;
  }
  return result;
}

function isPart(offset: number, length: number, size: number): boolean {
  return offset % PAGE === 0 && length % PAGE === 0 && length > 0 && offset + length <= size;
}
