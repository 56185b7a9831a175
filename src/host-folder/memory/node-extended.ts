/** Extended attributes of nodes (xattr(7)). */
import type { HostMemory } from '../../memory/scatter-list.ts';
import { NAME_MAX, S_IFREG, XATTR_CREATE, XATTR_REPLACE } from '../constants.ts';
import { EEXIST, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, EPERM, ERANGE } from '../errno.ts';
import type { Name } from '../name.ts';
import { type MemoryBudget, NAME_BYTES } from './memory-budget.ts';
import type { MemoryNode } from './memory-node.ts';
import { bytesOf } from './node-attributes.ts';

const NAMESPACES = ['user.', 'trusted.', 'security.', 'system.posix_acl_'];
const XATTR_SIZE_MAX = 65536;
const XATTR_LIST_MAX = 65536;

export function getExtended(node: MemoryNode, name: Name, target: HostMemory, size: number): number {
  const problem = check(node, name);
  if (problem < 0) return problem;
  const value = node.extended.get(name.toKey());
  return value === undefined ? -ENODATA : put(value, target, size);
}

export function listExtended(node: MemoryNode, target: HostMemory, size: number): number {
  const names = [...node.extended.keys()].map((key) => `${key}\0`).join('');
  return put(
    Uint8Array.from(names, (c) => c.charCodeAt(0)),
    target,
    size,
  );
}

export function setExtended(node: MemoryNode, name: Name, value: Name, flags: number, budget: MemoryBudget): number {
  const problem = check(node, name);
  if (problem < 0) return problem;
  if (value.length > XATTR_SIZE_MAX) return -ERANGE;
  const key = name.toKey();
  const before = node.extended.get(key);
  const isThere = before !== undefined;
  if (flags === XATTR_CREATE && isThere) return -EEXIST;
  if (flags === XATTR_REPLACE && !isThere) return -ENODATA;
  if (!isThere && listLength(node) + key.length + 1 > XATTR_LIST_MAX) return -ENOSPC;
  if (!budget.charge(node, value.length - (isThere ? before.length : -NAME_BYTES))) return -ENOSPC;
  node.extended.set(key, bytesOf(value));
  node.touchAttributes();
  return 0;
}

export function removeExtended(node: MemoryNode, name: Name, budget: MemoryBudget): number {
  const problem = check(node, name);
  if (problem < 0) return problem;
  const key = name.toKey();
  const value = node.extended.get(key);
  if (value === undefined) return -ENODATA;
  budget.charge(node, -NAME_BYTES - value.length);
  node.extended.delete(key);
  node.touchAttributes();
  return 0;
}

/** Bytes of the list of names. */
function listLength(node: MemoryNode): number {
  let length = 0;
  for (const key of node.extended.keys()) length += key.length + 1;
  return length;
}

/** 0, or the negative errno for an attribute that such a node cannot have; `user.` ones are for files and folders. */
function check(node: MemoryNode, name: Name): number {
  if (name.length === 0 || name.length > NAME_MAX) return -ERANGE;
  const key = name.toKey();
  const namespace = NAMESPACES.find((prefix) => key.startsWith(prefix));
  if (namespace === undefined) return -EOPNOTSUPP;
  if (key.length === namespace.length) return -EINVAL;
  return namespace === 'user.' && node.type !== S_IFREG && !node.isFolder ? -EPERM : 0;
}

/** Copies a value to the first `size` bytes of memory; returns its length. */
function put(value: Uint8Array, target: HostMemory, size: number): number {
  if (size === 0) return value.length;
  if (value.length > size) return -ERANGE;
  target.bytes.set(value);
  return value.length;
}
