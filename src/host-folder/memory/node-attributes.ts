import type { HostMemory } from '../../memory/scatter-list.ts';
import type { FileAttributes } from '../attributes.ts';
import { NAME_MAX, S_IFREG } from '../constants.ts';
import { EINVAL, EOPNOTSUPP, EPERM, ERANGE } from '../errno.ts';
import type { Name } from '../name.ts';
import { type MemoryNode, PAGE_BYTES } from './memory-node.ts';

const BLOCK = 512;
const NAMESPACES = ['user.', 'trusted.', 'security.', 'system.posix_acl_'];

/** What stat(2) tells of a node. */
export function fill(to: FileAttributes, from: MemoryNode): void {
  to.inoLow = from.inode;
  to.inoHigh = 0;
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

/** 0, or the negative errno for an attribute that such a node cannot have; `user.` ones are for files and folders (xattr(7)). */
export function checkExtendedName(node: MemoryNode, name: Name): number {
  if (name.length === 0 || name.length > NAME_MAX) return -ERANGE;
  const key = name.toKey();
  const namespace = NAMESPACES.find((prefix) => key.startsWith(prefix));
  if (namespace === undefined) return -EOPNOTSUPP;
  if (key.length === namespace.length) return -EINVAL;
  return namespace === 'user.' && node.type !== S_IFREG && !node.isFolder ? -EPERM : 0;
}

/** Copies a value to the first `size` bytes of memory; returns its length. */
export function put(value: Uint8Array, target: HostMemory, size: number): number {
  if (size === 0) return value.length;
  if (value.length > size) return -ERANGE;
  target.bytes.set(value);
  return value.length;
}
