/** The FUSE protocol, version 7 (linux/fuse.h), as virtio-fs carries it. All numbers are little endian. */
export const FUSE_MAJOR = 7;
/** The newest version that we speak. */
export const FUSE_MINOR = 41;
/** The oldest one: Linux 4.20. virtio-fs itself is younger. */
export const FUSE_OLDEST_MINOR = 27;

export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_READLINK = 5;
export const FUSE_SYMLINK = 6;
export const FUSE_MKNOD = 8;
export const FUSE_MKDIR = 9;
export const FUSE_UNLINK = 10;
export const FUSE_RMDIR = 11;
export const FUSE_RENAME = 12;
export const FUSE_LINK = 13;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FSYNC = 20;
export const FUSE_SETXATTR = 21;
export const FUSE_GETXATTR = 22;
export const FUSE_LISTXATTR = 23;
export const FUSE_REMOVEXATTR = 24;
export const FUSE_FLUSH = 25;
export const FUSE_INIT = 26;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_RELEASEDIR = 29;
export const FUSE_FSYNCDIR = 30;
export const FUSE_GETLK = 31;
export const FUSE_SETLK = 32;
export const FUSE_SETLKW = 33;
export const FUSE_CREATE = 35;
export const FUSE_INTERRUPT = 36;
export const FUSE_DESTROY = 38;
export const FUSE_IOCTL = 39;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_FALLOCATE = 43;
export const FUSE_READDIRPLUS = 44;
export const FUSE_RENAME2 = 45;
export const FUSE_LSEEK = 46;
export const FUSE_COPY_FILE_RANGE = 47;
export const FUSE_SETUPMAPPING = 48;
export const FUSE_REMOVEMAPPING = 49;
export const FUSE_SYNCFS = 50;
export const FUSE_TMPFILE = 51;
export const FUSE_STATX = 52;

/** What notifications say, in the place of an error. */
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_INVAL_ENTRY = 3;

/** struct fuse_in_header: u32 len, u32 opcode, u64 unique, u64 nodeid, u32 uid, gid, pid, u16 total_extlen. */
export const IN_HEADER_SIZE = 40;
/** struct fuse_out_header: u32 len, i32 error, u64 unique. */
export const OUT_HEADER_SIZE = 16;
/** struct fuse_write_in. */
export const WRITE_IN_SIZE = 40;

/** Flags of INIT by the number of their bit: the first 32 in `flags`, the others in `flags2`. */
export const FUSE_ASYNC_READ = 0;
export const FUSE_POSIX_LOCKS = 1;
export const FUSE_ATOMIC_O_TRUNC = 3;
export const FUSE_BIG_WRITES = 5;
export const FUSE_DONT_MASK = 6;
export const FUSE_FLOCK_LOCKS = 10;
export const FUSE_HAS_IOCTL_DIR = 11;
export const FUSE_AUTO_INVAL_DATA = 12;
export const FUSE_DO_READDIRPLUS = 13;
export const FUSE_READDIRPLUS_AUTO = 14;
export const FUSE_ASYNC_DIO = 15;
export const FUSE_WRITEBACK_CACHE = 16;
export const FUSE_PARALLEL_DIROPS = 18;
export const FUSE_POSIX_ACL = 20;
export const FUSE_MAX_PAGES = 22;
export const FUSE_CACHE_SYMLINKS = 23;
export const FUSE_MAP_ALIGNMENT = 26;
export const FUSE_SUBMOUNTS = 27;
export const FUSE_HANDLE_KILLPRIV_V2 = 28;
export const FUSE_SETXATTR_EXT = 29;
export const FUSE_INIT_EXT = 30;
export const FUSE_SECURITY_CTX = 32;
export const FUSE_DIRECT_IO_ALLOW_MMAP = 36;

/** struct fuse_attr: what is mounted there is to be a mount of the guest's, too. */
export const FUSE_ATTR_SUBMOUNT = 1;

export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_KILL_SUIDGID = 1 << 11;

export const FUSE_GETATTR_FH = 1;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_OPEN_KILL_SUIDGID = 1;
export const FUSE_FSYNC_FDATASYNC = 1;
export const FUSE_SETUPMAPPING_FLAG_WRITE = 1;
export const FUSE_LK_FLOCK = 1;
export const FUSE_SETXATTR_ACL_KILL_SGID = 1;

export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_CACHE_DIR = 1 << 3;

/** The most nr_secctx in an extension header; larger numbers are other extensions. */
export const FUSE_MAX_NR_SECCTX = 31;
