/** Numbers of 9P2000.L (Plan 9's 9P2000 with the operations of Linux), little-endian on the wire. */

/** The version that is spoken here, and what a client gets that speaks another. */
export const VERSION = '9P2000.L';
export const UNKNOWN_VERSION = 'unknown';

/** Types of requests; that of the answer is one more. */
export const Tstatfs = 8;
export const Tlopen = 12;
export const Tlcreate = 14;
export const Tsymlink = 16;
export const Tmknod = 18;
export const Trename = 20;
export const Treadlink = 22;
export const Tgetattr = 24;
export const Tsetattr = 26;
export const Txattrwalk = 30;
export const Txattrcreate = 32;
export const Treaddir = 40;
export const Tfsync = 50;
export const Tlock = 52;
export const Tgetlock = 54;
export const Tlink = 70;
export const Tmkdir = 72;
export const Trenameat = 74;
export const Tunlinkat = 76;
export const Tversion = 100;
export const Tauth = 102;
export const Tattach = 104;
export const Tflush = 108;
export const Twalk = 110;
export const Tread = 116;
export const Twrite = 118;
export const Tclunk = 120;
export const Tremove = 122;
export const Rlerror = 7;

/** u32 size, u8 type, u16 tag. */
export const HEADER_SIZE = 7;
/** In front of the data of a Twrite: header, u32 fid, u64 offset, u32 count. */
export const WRITE_HEADER_SIZE = HEADER_SIZE + 16;
/** In front of the data of an Rread or Rreaddir: header, u32 count. */
export const READ_HEADER_SIZE = HEADER_SIZE + 4;

/** Bytes of the longest message that client and server can agree on, and of the shortest that is of use to both. */
export const MAX_MSIZE = 1 << 20;
export const MIN_MSIZE = 4096;

/** No fid: nobody authenticates. */
export const NOFID = 0xffff_ffff;
/** No user but a name. */
export const NONUNAME = 0xffff_ffff;
/** Names in one Twalk. */
export const MAXWELEM = 16;

export const QTDIR = 0x80;
export const QTSYMLINK = 0x02;
export const QTFILE = 0x00;

/** All fields of Rgetattr up to blocks; the time at which a file was made. */
export const P9_GETATTR_BASIC = 0x7ff;
export const P9_GETATTR_BTIME = 0x800;

export const P9_SETATTR_MODE = 0x1;
export const P9_SETATTR_UID = 0x2;
export const P9_SETATTR_GID = 0x4;
export const P9_SETATTR_SIZE = 0x8;
export const P9_SETATTR_ATIME = 0x10;
export const P9_SETATTR_MTIME = 0x20;
/** The time that is in the request; without it, now. */
export const P9_SETATTR_ATIME_SET = 0x80;
export const P9_SETATTR_MTIME_SET = 0x100;

export const P9_LOCK_SUCCESS = 0;
export const P9_LOCK_BLOCKED = 1;

/** Of Tunlinkat: a folder. */
export const AT_REMOVEDIR = 0x200;
