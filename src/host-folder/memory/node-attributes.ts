import type { FileAttributes } from '../attributes.ts';
import type { Name } from '../name.ts';
import { type MemoryNode, PAGE_BYTES } from './memory-node.ts';

const BLOCK = 512;

/** What stat(2) tells of a node. */
export function fill(to: FileAttributes, from: MemoryNode): void {
  to.inoLow = from.inode;
  to.inoHigh = 0;
  to.isMountRoot = false;
  to.mode = from.mode;
  to.links = from.links;
  to.uid = from.uid;
  to.gid = from.gid;
  to.major = from.major;
  to.minor = from.minor;
  to.size = from.size;
  to.blocks = (from.pages.size * PAGE_BYTES) / BLOCK;
  to.blockSize = PAGE_BYTES;
  to.atime = from.atime.seconds;
  to.atimeNs = from.atime.ns;
  to.mtime = from.mtime.seconds;
  to.mtimeNs = from.mtime.ns;
  to.ctime = from.ctime.seconds;
  to.ctimeNs = from.ctime.ns;
  to.hasBirth = true;
  to.btime = from.btime.seconds;
  to.btimeNs = from.btime.ns;
}

/** A copy. */
export function bytesOf(name: Name): Uint8Array {
  const bytes = new Uint8Array(name.length);
  name.copyTo(bytes, 0);
  return bytes;
}
