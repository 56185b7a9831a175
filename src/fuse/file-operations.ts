/** Operations on open files. */
import {
  FS_IOC_FSSETXATTR,
  FS_IOC_SETFLAGS,
  O_ACCMODE,
  O_APPEND,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  SEEK_DATA,
  SEEK_HOLE,
} from '../host-folder/constants.ts';
import { E2BIG, EACCES, EFBIG, EINVAL, EROFS } from '../host-folder/errno.ts';
import { isOffset } from '../host-folder/file-session.ts';
import {
  FOPEN_CACHE_DIR,
  FOPEN_KEEP_CACHE,
  FUSE_FSYNC_FDATASYNC,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_SECURITY_CTX,
  FUSE_WRITE_KILL_SUIDGID,
  FUSE_WRITEBACK_CACHE,
  IN_HEADER_SIZE,
  WRITE_IN_SIZE,
} from './protocol.ts';
import { storeSecurityContext } from './security-context.ts';
import type { FuseSession } from './session.ts';

const OPEN_OUT_SIZE = 16;
const IOCTL_IN_SIZE = 32;
const IOCTL_OUT_SIZE = 16;
/** The largest argument of an ioctl(2) that there is for files: struct fsxattr. */
const MAX_ARGUMENT = 28;

/** struct fuse_open_in: u32 flags, open_flags. */
export function open(session: FuseSession): number {
  const { request, folder } = session;
  const flags = request.u32(0);
  if (session.options.readOnly && isWriting(flags)) return -EROFS;
  let file = folder.open(request.nodeid, hostFlags(session, flags));
  // To write back, the guest would read, too; a user that may only write does without.
  if (file === -EACCES) file = folder.open(request.nodeid, flags);
  if (file < 0) return file;
  if ((flags & O_TRUNC) !== 0 && (request.u32(4) & FUSE_OPEN_KILL_SUIDGID) !== 0) folder.killPrivileges(file);
  return replyOpen(session, 0, file);
}

export function openDirectory(session: FuseSession): number {
  const { request, reply, folder, options } = session;
  const file = folder.openDirectory(request.nodeid);
  if (file < 0) return file;
  reply.u64(0, file);
  reply.u32(8, options.cache === 'always' ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : 0);
  reply.u32(12, 0);
  return OPEN_OUT_SIZE;
}

/** struct fuse_create_in: u32 flags, mode, umask, open_flags. */
export function create(session: FuseSession): number {
  const { request, folder, entry, name } = session;
  const end = session.takeName(16);
  if (end < 0) return end;
  folder.actAs(request.uid, request.gid, request.u32(8));
  const flags = hostFlags(session, request.u32(0));
  const file = folder.create(request.nodeid, name, flags, request.u32(4), entry);
  return replyCreated(session, file, end);
}

/** The same argument; the name is one that nobody needs. */
export function createUnnamed(session: FuseSession): number {
  const { request, folder, entry } = session;
  const end = session.takeName(16);
  if (end < 0) return end;
  folder.actAs(request.uid, request.gid, request.u32(8));
  const file = folder.createUnnamed(request.nodeid, hostFlags(session, request.u32(0)), request.u32(4), entry);
  return replyCreated(session, file, end);
}

function replyCreated(session: FuseSession, file: number, textsEnd: number): number {
  if (file < 0) return file;
  if (session.agreed.has(FUSE_SECURITY_CTX)) {
    const result = storeSecurityContext(session, textsEnd);
    if (result < 0) {
      session.folder.release(file);
      session.folder.forget(session.entry.inode, 1);
      return result;
    }
  }
  return replyOpen(session, session.replyEntry(), file);
}

/** struct fuse_open_out: u64 file, u32 open_flags, padding. */
function replyOpen({ reply, fileFlags }: FuseSession, at: number, file: number): number {
  reply.u64(at, file);
  reply.u32(at + 8, fileFlags);
  reply.u32(at + 12, 0);
  return at + OPEN_OUT_SIZE;
}

/** Where the guest writes back what it has, it reads what it writes only a part of, and knows best where the end is. */
function hostFlags({ agreed }: FuseSession, flags: number): number {
  if (!agreed.has(FUSE_WRITEBACK_CACHE)) return flags;
  const access = (flags & O_ACCMODE) === O_WRONLY ? O_RDWR : flags & O_ACCMODE;
  return (flags & ~(O_ACCMODE | O_APPEND)) | access;
}

function isWriting(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}

/** struct fuse_read_in: u64 file, offset, u32 size, read_flags, u64 lock_owner, u32 flags. */
export function read({ request, reply, folder }: FuseSession): number {
  const offset = request.u64(8);
  if (!isOffset(offset)) return -EINVAL;
  reply.expectData(request.u32(16));
  return folder.read(request.u64(0), offset, reply.data);
}

/** struct fuse_write_in: the same, and behind it the data. */
export function write({ request, reply, folder, input, data }: FuseSession): number {
  const [file, offset, size] = [request.u64(0), request.u64(8), request.u32(16)];
  if (!isOffset(offset + size)) return -EFBIG;
  if (size > input.length - IN_HEADER_SIZE - WRITE_IN_SIZE) return -EINVAL;
  data.clear();
  data.addRange(input, IN_HEADER_SIZE + WRITE_IN_SIZE, size);
  const written = folder.write(file, offset, data);
  if (written < 0) return written;
  if ((request.u32(20) & FUSE_WRITE_KILL_SUIDGID) !== 0) folder.killPrivileges(file);
  reply.u32(0, written);
  reply.u32(4, 0);
  return 8;
}

/** struct fuse_flush_in: u64 file, u32 unused, padding, u64 lock_owner. */
export function flush({ request, folder }: FuseSession): number {
  folder.releaseLocks(request.u64(0), request.big(16));
  return 0;
}

/** struct fuse_release_in: u64 file, u32 flags, release_flags, u64 lock_owner. What flock(2) has locked goes with the file. */
export function release({ request, folder }: FuseSession): number {
  folder.releaseLocks(request.u64(0), request.big(16));
  folder.release(request.u64(0));
  return 0;
}

/** struct fuse_fsync_in: u64 file, u32 flags. */
export function sync({ request, folder }: FuseSession): number {
  return folder.sync(request.u64(0), (request.u32(8) & FUSE_FSYNC_FDATASYNC) !== 0);
}

/** struct fuse_fallocate_in: u64 file, offset, length, u32 mode. */
export function allocate({ request, folder }: FuseSession): number {
  const [offset, length] = [request.u64(8), request.u64(16)];
  if (!isOffset(offset + length)) return -EFBIG;
  return folder.allocate(request.u64(0), request.u32(24), offset, length);
}

/** struct fuse_lseek_in: u64 file, offset, u32 whence. */
export function seek({ request, reply, folder }: FuseSession): number {
  const [offset, whence] = [request.u64(8), request.u32(16)];
  if (!isOffset(offset) || (whence !== SEEK_DATA && whence !== SEEK_HOLE)) return -EINVAL;
  const found = folder.seek(request.u64(0), offset, whence);
  if (found < 0) return found;
  reply.u64(0, found);
  return 8;
}

/** struct fuse_copy_file_range_in: u64 file, offset, node of the target, its file, its offset, length, flags. */
export function copyRange({ request, reply, folder }: FuseSession): number {
  const [fromOffset, toOffset] = [request.u64(8), request.u64(32)];
  // A call copies as much as it can, so less is an answer, too; and nobody waits for long.
  const length = Math.min(request.u64(40), MAX_COPY);
  if (request.u64(48) !== 0) return -EINVAL;
  if (!isOffset(fromOffset + length) || !isOffset(toOffset + length)) return -EFBIG;
  const copied = folder.copyRange(request.u64(0), fromOffset, request.u64(24), toOffset, length);
  if (copied < 0) return copied;
  reply.u32(0, copied);
  reply.u32(4, 0);
  return 8;
}

const MAX_COPY = 64 << 20;

/** struct fuse_ioctl_in: u64 file, u32 flags, cmd, u64 arg, u32 in_size, out_size; the argument. struct fuse_ioctl_out: i32 result, 12 bytes. */
export function control({ request, reply, folder, name, options }: FuseSession): number {
  const [command, inSize, outSize] = [request.u32(12), request.u32(24), request.u32(28)];
  if (inSize > MAX_ARGUMENT || outSize > Math.min(MAX_ARGUMENT, reply.room - IOCTL_OUT_SIZE)) return -E2BIG;
  if (!request.bytes(IOCTL_IN_SIZE, inSize, name)) return -EINVAL;
  if (options.readOnly && isSetting(command)) return -EROFS;
  argument.bytes.fill(0);
  name.copyTo(argument.bytes, 0);
  const result = folder.control(request.u64(0), command, argument);
  if (result < 0) return result;
  reply.clear(0, IOCTL_OUT_SIZE);
  for (let i = 0; i < outSize; i++) reply.bytes[reply.payloadStart + IOCTL_OUT_SIZE + i] = argument.bytes[i]!;
  return IOCTL_OUT_SIZE + outSize;
}

function isSetting(command: number): boolean {
  return command === FS_IOC_SETFLAGS || command === FS_IOC_FSSETXATTR;
}

const argument = { bytes: new Uint8Array(32), address: 0 };
