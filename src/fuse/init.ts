import { EPROTO } from '../host-folder/errno.ts';
import {
  FUSE_ASYNC_DIO,
  FUSE_ASYNC_READ,
  FUSE_ATOMIC_O_TRUNC,
  FUSE_AUTO_INVAL_DATA,
  FUSE_BIG_WRITES,
  FUSE_CACHE_SYMLINKS,
  FUSE_DIRECT_IO_ALLOW_MMAP,
  FUSE_DO_READDIRPLUS,
  FUSE_DONT_MASK,
  FUSE_FLOCK_LOCKS,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_HAS_IOCTL_DIR,
  FUSE_INIT_EXT,
  FUSE_MAJOR,
  FUSE_MAP_ALIGNMENT,
  FUSE_MAX_PAGES,
  FUSE_MINOR,
  FUSE_OLDEST_MINOR,
  FUSE_PARALLEL_DIROPS,
  FUSE_POSIX_ACL,
  FUSE_POSIX_LOCKS,
  FUSE_READDIRPLUS_AUTO,
  FUSE_SECURITY_CTX,
  FUSE_SETXATTR_EXT,
  FUSE_SUBMOUNTS,
  FUSE_WRITEBACK_CACHE,
} from './protocol.ts';
import type { FuseSession } from './session.ts';

const INIT_OUT_SIZE = 64;
const PAGE_SIZE = 4096;
/** Binary logarithm of what offsets of mappings are multiples of. */
const MAP_ALIGNMENT = 12;
/** Data of one read or write. */
const MAX_PAGES = 256;
const MAX_BACKGROUND = 256;

/** What we know of INIT's flags, whatever the options. */
const ALWAYS = [
  FUSE_ASYNC_READ,
  FUSE_ATOMIC_O_TRUNC,
  FUSE_BIG_WRITES,
  FUSE_DONT_MASK,
  FUSE_HAS_IOCTL_DIR,
  FUSE_DO_READDIRPLUS,
  FUSE_READDIRPLUS_AUTO,
  FUSE_ASYNC_DIO,
  FUSE_PARALLEL_DIROPS,
  FUSE_MAX_PAGES,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_SETXATTR_EXT,
  FUSE_SUBMOUNTS,
  FUSE_INIT_EXT,
  FUSE_DIRECT_IO_ALLOW_MMAP,
];

/** INIT: struct fuse_init_in is u32 major, minor, max_readahead, flags, flags2 and more. A guest that has crashed begins anew. */
export function init(session: FuseSession): number {
  const { request, reply } = session;
  const [major, minor] = [request.u32(0), request.u32(4)];
  if (major < FUSE_MAJOR || (major === FUSE_MAJOR && minor < FUSE_OLDEST_MINOR)) return -EPROTO;
  reply.clear(0, INIT_OUT_SIZE);
  reply.u32(0, FUSE_MAJOR);
  reply.u32(4, FUSE_MINOR);
  // The guest begins again with a version that we have said.
  if (major > FUSE_MAJOR) return INIT_OUT_SIZE;
  if (session.isStarted) session.folder.reset();
  session.isStarted = true;
  session.minor = Math.min(minor, FUSE_MINOR);
  const flags = request.u32(12);
  const hasMore = (flags & (1 << FUSE_INIT_EXT)) !== 0;
  session.agreed = new Set(wanted(session).filter((bit) => isSet(bit, flags, hasMore ? request.u32(16) : 0)));
  reply.showsMounts = session.agreed.has(FUSE_SUBMOUNTS);
  reply.u32(8, request.u32(8));
  reply.u32(12, maskOf(session.agreed, 0));
  reply.u16(16, MAX_BACKGROUND);
  reply.u16(18, (MAX_BACKGROUND * 3) / 4);
  reply.u32(20, MAX_PAGES * PAGE_SIZE);
  reply.u32(24, 1); // granularity of times in ns
  reply.u16(28, MAX_PAGES);
  reply.u16(30, MAP_ALIGNMENT);
  reply.u32(32, maskOf(session.agreed, 32));
  return INIT_OUT_SIZE;
}

function wanted({ options, window }: FuseSession): number[] {
  const { cache, writeback, posixAcl, securityContext, hostLocks } = options;
  return [
    ...ALWAYS,
    ...(cache === 'auto' ? [FUSE_AUTO_INVAL_DATA] : []),
    ...(cache === 'never' ? [] : [FUSE_CACHE_SYMLINKS]),
    ...(writeback ? [FUSE_WRITEBACK_CACHE] : []),
    ...(posixAcl ? [FUSE_POSIX_ACL] : []),
    ...(hostLocks ? [FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS] : []),
    ...(securityContext ? [FUSE_SECURITY_CTX] : []),
    ...(window.size > 0 ? [FUSE_MAP_ALIGNMENT] : []),
  ];
}

function isSet(bit: number, low: number, high: number): boolean {
  return ((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) !== 0;
}

function maskOf(bits: ReadonlySet<number>, first: number): number {
  let mask = 0;
  for (const bit of bits) if (bit >= first && bit < first + 32) mask |= 1 << (bit - first);
  return mask >>> 0;
}
