/** What a server says without having been asked: a header whose error is what it says, and which is of no request. */
import { NAME_MAX } from '../host-folder/constants.ts';
import type { Name } from '../host-folder/name.ts';
import { FUSE_NOTIFY_INVAL_ENTRY, FUSE_NOTIFY_INVAL_INODE, OUT_HEADER_SIZE } from './protocol.ts';

const INVAL_INODE_SIZE = 24;
const INVAL_ENTRY_SIZE = 16;

/** The longest one. */
export const MAX_NOTIFICATION_SIZE = OUT_HEADER_SIZE + INVAL_ENTRY_SIZE + NAME_MAX + 1;

/** struct fuse_notify_inval_entry_out: u64 parent, u32 namelen, flags; and the name, with a zero behind it. */
export function invalidEntry(parent: number, name: Name): Uint8Array {
  const view = notification(FUSE_NOTIFY_INVAL_ENTRY, INVAL_ENTRY_SIZE + name.length + 1);
  const bytes = new Uint8Array(view.buffer);
  view.setBigUint64(OUT_HEADER_SIZE, BigInt(parent), true);
  view.setUint32(OUT_HEADER_SIZE + 8, name.length, true);
  name.copyTo(bytes, OUT_HEADER_SIZE + INVAL_ENTRY_SIZE);
  return bytes;
}

/** struct fuse_notify_inval_inode_out: u64 ino, s64 off, len. Of attributes and, if `withData`, all data. */
export function invalidInode(inode: number, withData: boolean): Uint8Array {
  const view = notification(FUSE_NOTIFY_INVAL_INODE, INVAL_INODE_SIZE);
  view.setBigUint64(OUT_HEADER_SIZE, BigInt(inode), true);
  // A negative offset is attributes only; length 0 is up to the end.
  view.setBigInt64(OUT_HEADER_SIZE + 8, withData ? 0n : -1n, true);
  return new Uint8Array(view.buffer);
}

function notification(code: number, payload: number): DataView {
  const view = new DataView(new ArrayBuffer(OUT_HEADER_SIZE + payload));
  view.setUint32(0, view.byteLength, true);
  view.setInt32(4, code, true);
  return view;
}
