import type { HostMemory } from '../../memory/scatter-list.ts';
import type { AttributeChanges, FileAttributes, FileEntry, FolderStatistics } from '../attributes.ts';
import {
  O_EXCL,
  O_RDONLY,
  O_TRUNC,
  PATH_MAX,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IALL,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
} from '../constants.ts';
import {
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENFILE,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ESTALE,
} from '../errno.ts';
import { type Folder, ROOT_INODE } from '../folder.ts';
import { checkName, type Name } from '../name.ts';
import { NAME_BYTES, NODE_BYTES } from './memory-budget.ts';
import { MemoryFiles } from './memory-files.ts';
import { MemoryNode, PAGE_BYTES, takePrivileges, timeNow } from './memory-node.ts';
import { bytesOf, fill } from './node-attributes.ts';
import { getExtended, listExtended, removeExtended, setExtended } from './node-extended.ts';

const TMPFS_MAGIC = 0x0102_1994;

/** A tree of files in this process's memory, empty at first, which guests can write to. */
export class MemoryFolder extends MemoryFiles implements Folder {
  readonly #nodes = new Map<number, MemoryNode>();
  #lastInode = ROOT_INODE;
  #uid = 0;
  #gid = 0;
  #umask = 0;

  /** `capacity`: bytes that all contents, files and names together may take. */
  constructor(capacity: number = 1 << 30) {
    super(capacity);
    const root = new MemoryNode(ROOT_INODE, S_IFDIR | 0o755, 0, 0, [0, 0]);
    root.links = 2;
    this.#nodes.set(ROOT_INODE, root);
  }

  actAs(uid: number, gid: number, umask: number): void {
    this.#uid = uid;
    this.#gid = gid;
    this.#umask = umask;
  }

  lookup(parent: number, name: Name, entry: FileEntry): number {
    const [, node] = this.#existing(parent, name);
    return typeof node === 'number' ? node : this.#give(node, entry);
  }

  forget(inode: number, count: number): void {
    const node = this.#nodes.get(inode);
    if (node === undefined) return;
    node.lookups = Math.max(0, node.lookups - count);
    this.dropIfGone(node);
  }

  makeDirectory(parent: number, name: Name, mode: number, entry: FileEntry): number {
    // Set-user-id and set-group-id are not for mkdir(2) to give.
    const made = S_IFDIR | (mode & S_IALL & ~(S_ISUID | S_ISGID) & ~this.#umask);
    return this.#make(parent, name, made, [0, 0], entry);
  }

  makeNode(parent: number, name: Name, mode: number, major: number, minor: number, entry: FileEntry): number {
    const type = mode & S_IFMT;
    if (type === S_IFDIR || type === S_IFLNK) return -EPERM;
    const made = (type === 0 ? S_IFREG : type) | (mode & S_IALL & ~this.#umask);
    return this.#make(parent, name, made, [major, minor], entry);
  }

  symlink(parent: number, name: Name, target: Name, entry: FileEntry): number {
    if (target.length === 0) return -ENOENT;
    if (target.length >= PATH_MAX) return -ENAMETOOLONG;
    if (target.has(0)) return -EINVAL;
    if (target.length > this.budget.free) return -ENOSPC;
    const result = this.#make(parent, name, S_IFLNK | 0o777, [0, 0], entry);
    if (result < 0) return result;
    const node = this.#nodes.get(entry.inode)!;
    this.budget.charge(node, target.length);
    node.target = bytesOf(target);
    node.size = target.length;
    fill(entry.attributes, node);
    return 0;
  }

  link(inode: number, parent: number, name: Name, entry: FileEntry): number {
    const node = this.#nodes.get(inode);
    const folder = this.#place(parent, name);
    if (node === undefined) return -ESTALE;
    if (typeof folder === 'number') return folder;
    if (node.isFolder) return -EPERM;
    if (!this.budget.take(NAME_BYTES)) return -ENOSPC;
    node.links++;
    node.touchAttributes();
    this.#enter(folder, name.toKey(), node);
    return this.#give(node, entry);
  }

  unlink(parent: number, name: Name): number {
    const [folder, node] = this.#existing(parent, name);
    if (typeof node === 'number') return node;
    if (node.isFolder) return -EISDIR;
    this.#remove(folder!, name.toKey(), node);
    return 0;
  }

  removeDirectory(parent: number, name: Name): number {
    const [folder, node] = this.#existing(parent, name);
    if (typeof node === 'number') return node;
    if (!node.isFolder) return -ENOTDIR;
    if (node.children.size > 0) return -ENOTEMPTY;
    this.#remove(folder!, name.toKey(), node);
    return 0;
  }

  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): number {
    const problem = checkName(newName);
    if (problem < 0) return problem;
    const to = this.#folder(newParent);
    if (typeof to === 'number') return to;
    const [from, node] = this.#existing(parent, name);
    if (typeof node === 'number') return node;
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL;
    if (flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
    const [key, newKey] = [name.toKey(), newName.toKey()];
    const other = to.child(newKey);
    if (node.isFolder && isWithin(to, node)) return -EINVAL;
    if (flags === RENAME_EXCHANGE) return this.#exchange(from!, key, node, to, newKey, other);
    if (other !== undefined) {
      if (flags === RENAME_NOREPLACE) return -EEXIST;
      if (other === node) return 0;
      if (other.isFolder && isWithin(from!, other)) return -ENOTEMPTY;
      if (node.isFolder !== other.isFolder) return node.isFolder ? -ENOTDIR : -EISDIR;
      if (other.children.size > 0) return -ENOTEMPTY;
      this.#remove(to, newKey, other);
    }
    this.#leave(from!, key, node);
    this.#enter(to, newKey, node);
    node.touchAttributes();
    return 0;
  }

  getAttributes(inode: number, file: number, attributes: FileAttributes): number {
    const node = this.#node(inode, file);
    if (typeof node === 'number') return node;
    fill(attributes, node);
    return 0;
  }

  setAttributes(inode: number, file: number, changes: AttributeChanges, attributes: FileAttributes): number {
    const node = this.#node(inode, file);
    if (typeof node === 'number') return node;
    const { mode, uid, gid, size, atime, mtime } = changes;
    if (mode !== undefined && node.type === S_IFLNK) return -EOPNOTSUPP;
    if (size !== undefined && node.type !== S_IFREG) return node.isFolder ? -EISDIR : -EINVAL;
    if (mode !== undefined) node.mode = node.type | (mode & S_IALL);
    if (uid !== undefined || gid !== undefined) {
      node.uid = uid ?? node.uid;
      node.gid = gid ?? node.gid;
      if (!node.isFolder) takePrivileges(node);
    }
    if (size !== undefined) {
      this.resize(node, size);
      node.mtime = timeNow();
      if (changes.killsPrivileges) takePrivileges(node);
    }
    if (atime !== undefined) node.atime = atime === 'now' ? timeNow() : { seconds: atime, ns: changes.atimeNs };
    if (mtime !== undefined) node.mtime = mtime === 'now' ? timeNow() : { seconds: mtime, ns: changes.mtimeNs };
    node.touchAttributes();
    fill(attributes, node);
    return 0;
  }

  readLink(inode: number, target: HostMemory): number {
    const node = this.#nodes.get(inode);
    if (node === undefined) return -ESTALE;
    if (node.type !== S_IFLNK) return -EINVAL;
    const length = Math.min(node.target.length, target.bytes.length);
    target.bytes.set(node.target.subarray(0, length));
    return length;
  }

  statistics(_inode: number, statistics: FolderStatistics): number {
    statistics.type = TMPFS_MAGIC;
    statistics.blockSize = statistics.fragmentSize = PAGE_BYTES;
    statistics.blocks = Math.floor(this.budget.capacity / PAGE_BYTES);
    statistics.free = statistics.available = Math.floor(this.budget.free / PAGE_BYTES);
    statistics.files = Math.floor(this.budget.capacity / (NODE_BYTES + NAME_BYTES));
    statistics.freeFiles = Math.floor(this.budget.free / (NODE_BYTES + NAME_BYTES));
    return 0;
  }

  syncFileSystem(): number {
    return 0;
  }

  getExtended(inode: number, name: Name, target: HostMemory, size: number): number {
    const node = this.#nodes.get(inode);
    return node === undefined ? -ESTALE : getExtended(node, name, target, size);
  }

  listExtended(inode: number, target: HostMemory, size: number): number {
    const node = this.#nodes.get(inode);
    return node === undefined ? -ESTALE : listExtended(node, target, size);
  }

  setExtended(inode: number, name: Name, value: Name, flags: number): number {
    const node = this.#nodes.get(inode);
    return node === undefined ? -ESTALE : setExtended(node, name, value, flags, this.budget);
  }

  removeExtended(inode: number, name: Name): number {
    const node = this.#nodes.get(inode);
    return node === undefined ? -ESTALE : removeExtended(node, name, this.budget);
  }

  open(inode: number, flags: number): number {
    const node = this.#nodes.get(inode);
    if (node === undefined) return -ESTALE;
    if (node.isFolder) return -EISDIR;
    if (node.type !== S_IFREG) return node.type === S_IFLNK ? -ELOOP : -ENXIO;
    if ((flags & O_TRUNC) !== 0) {
      this.resize(node, 0);
      node.touch();
    }
    return this.openNode(node, flags);
  }

  descriptor(): number {
    return -EOPNOTSUPP;
  }

  openDirectory(inode: number): number {
    const node = this.#folder(inode);
    return typeof node === 'number' ? node : this.openNode(node, O_RDONLY);
  }

  create(parent: number, name: Name, flags: number, mode: number, entry: FileEntry): number {
    if (this.isFull) return -ENFILE;
    const made = S_IFREG | (mode & S_IALL & ~this.#umask);
    const result = this.#make(parent, name, made, [0, 0], entry);
    if (result === 0) return this.openNode(this.#nodes.get(entry.inode)!, flags);
    if (result !== -EEXIST || (flags & O_EXCL) !== 0) return result;
    const found = this.lookup(parent, name, entry);
    if (found < 0) return found;
    const file = this.open(entry.inode, flags);
    if (file < 0) this.forget(entry.inode, 1);
    return file;
  }

  createUnnamed(parent: number, flags: number, mode: number, entry: FileEntry): number {
    const folder = this.#folder(parent);
    if (typeof folder === 'number') return folder;
    if (this.isFull) return -ENFILE;
    if (!this.budget.take(NODE_BYTES)) return -ENOSPC;
    const node = this.#newNode(folder, S_IFREG | (mode & S_IALL & ~this.#umask), [0, 0]);
    this.#give(node, entry);
    return this.openNode(node, flags);
  }

  reset(): void {
    this.releaseAll();
    for (const node of [...this.#nodes.values()]) this.forget(node.inode, node.lookups);
  }

  close(): void {
    this.reset();
  }

  protected override dropIfGone(node: MemoryNode): void {
    if (node.links > 0 || node.lookups > 0 || node.opened > 0) return;
    this.freeContent(node);
    this.budget.give(node.bytes);
    this.#nodes.delete(node.inode);
  }

  #folder(inode: number): MemoryNode | number {
    const node = this.#nodes.get(inode);
    if (node === undefined) return -ESTALE;
    return node.isFolder ? node : -ENOTDIR;
  }

  /** The folder that can get an entry of this name, or a negative errno. */
  #place(parent: number, name: Name): MemoryNode | number {
    const problem = checkName(name);
    if (problem < 0) return problem;
    const folder = this.#folder(parent);
    if (typeof folder === 'number') return folder;
    if (folder.children.has(name.toKey())) return -EEXIST;
    return folder.links === 0 ? -ENOENT : folder;
  }

  /** A folder and its entry of this name, or a negative errno. */
  #existing(parent: number, name: Name): readonly [MemoryNode | undefined, MemoryNode | number] {
    const problem = checkName(name);
    if (problem < 0) return [undefined, problem];
    const folder = this.#folder(parent);
    if (typeof folder === 'number') return [undefined, folder];
    return [folder, folder.child(name.toKey()) ?? -ENOENT];
  }

  #node(inode: number, file: number): MemoryNode | number {
    if (file !== 0) return this.files.get(file)?.node ?? -EBADF;
    return this.#nodes.get(inode) ?? -ESTALE;
  }

  #give(node: MemoryNode, entry: FileEntry): number {
    node.lookups++;
    entry.inode = node.inode;
    fill(entry.attributes, node);
    return 0;
  }

  #make(parent: number, name: Name, mode: number, device: readonly [number, number], entry: FileEntry): number {
    const folder = this.#place(parent, name);
    if (typeof folder === 'number') return folder;
    if (!this.budget.take(NODE_BYTES + NAME_BYTES)) return -ENOSPC;
    const node = this.#newNode(folder, mode, device);
    node.links = node.isFolder ? 2 : 1;
    this.#enter(folder, name.toKey(), node);
    return this.#give(node, entry);
  }

  /** What is made in a folder whose set-group-id bit is set belongs to its group (inode(7)). */
  #newNode(folder: MemoryNode, mode: number, device: readonly [number, number]): MemoryNode {
    const inherits = (folder.mode & S_ISGID) !== 0;
    const isFolder = (mode & S_IFMT) === S_IFDIR;
    const made = inherits && isFolder ? mode | S_ISGID : mode;
    const node = new MemoryNode(++this.#lastInode, made, this.#uid, inherits ? folder.gid : this.#gid, device);
    this.#nodes.set(node.inode, node);
    return node;
  }

  #enter(folder: MemoryNode, key: string, node: MemoryNode): void {
    folder.addChild(key, node);
    if (node.isFolder) {
      node.parent = folder;
      folder.links++;
    }
    folder.touch();
  }

  #leave(folder: MemoryNode, key: string, node: MemoryNode): void {
    folder.children.delete(key);
    if (node.isFolder) folder.links--;
    folder.touch();
  }

  #remove(folder: MemoryNode, key: string, node: MemoryNode): void {
    this.#leave(folder, key, node);
    this.budget.give(NAME_BYTES);
    node.links -= node.isFolder ? 2 : 1;
    node.touchAttributes();
    this.dropIfGone(node);
  }

  #exchange(
    from: MemoryNode,
    key: string,
    node: MemoryNode,
    to: MemoryNode,
    newKey: string,
    other: MemoryNode | undefined,
  ): number {
    if (other === undefined) return -ENOENT;
    if (other.isFolder && isWithin(from, other)) return -EINVAL;
    if (other === node) return 0;
    this.#leave(from, key, node);
    this.#leave(to, newKey, other);
    this.#enter(to, newKey, node);
    this.#enter(from, key, other);
    node.touchAttributes();
    other.touchAttributes();
    return 0;
  }
}

/** Whether a folder is another one or within it. */
function isWithin(folder: MemoryNode, other: MemoryNode): boolean {
  let at = folder;
  while (at !== other && at.parent !== at) at = at.parent;
  return at === other;
}
