import { callMemory, getAttribute, setAttribute } from '../../base/file-calls.ts';
import type { AttributeChanges, FileAttributes, FileEntry } from '../attributes.ts';
import { S_IFMT, S_IFREG } from '../constants.ts';
import type { Name } from '../name.ts';
import { LinuxFolder } from './linux-folder.ts';

/** Where the owner that clients see is kept: u32 user, u32 group. */
export const OWNER_ATTRIBUTE = 'user.crosvm.owner';
const OWNER_BYTES = 8;

/**
 * A folder of the host all of whose files belong to the user that this process is. Whom a client takes for the owner of a file
 * or a folder is kept in an extended attribute; whoever has none, and other kinds of files, belong to whom the host says.
 */
export class OwnerKeepingFolder extends LinuxFolder {
  readonly #key = callMemory(OWNER_ATTRIBUTE.length + 1);
  readonly #owner = callMemory(OWNER_BYTES);
  readonly #view = new DataView(this.#owner.bytes.buffer);
  #uid = 0;
  #gid = 0;

  constructor(...parts: ConstructorParameters<typeof LinuxFolder>) {
    super(...parts);
    new TextEncoder().encodeInto(OWNER_ATTRIBUTE, this.#key.bytes);
  }

  override actAs(uid: number, gid: number, umask: number): void {
    this.#uid = uid;
    this.#gid = gid;
    super.actAs(uid, gid, umask);
  }

  override lookup(parent: number, name: Name, entry: FileEntry): number {
    return this.#shown(super.lookup(parent, name, entry), entry);
  }

  override link(inode: number, parent: number, name: Name, entry: FileEntry): number {
    return this.#shown(super.link(inode, parent, name, entry), entry);
  }

  override makeDirectory(parent: number, name: Name, mode: number, entry: FileEntry): number {
    return this.#made(super.makeDirectory(parent, name, mode, entry), entry);
  }

  override makeNode(parent: number, name: Name, mode: number, major: number, minor: number, entry: FileEntry): number {
    return this.#made(super.makeNode(parent, name, mode, major, minor, entry), entry);
  }

  /** What was there already has its owner. */
  override create(parent: number, name: Name, flags: number, mode: number, entry: FileEntry): number {
    const file = super.create(parent, name, flags, mode, entry);
    return file > 0 && !this.#show(this.files.fd(file), entry.attributes) ? this.#made(file, entry) : file;
  }

  override createUnnamed(parent: number, flags: number, mode: number, entry: FileEntry): number {
    return this.#made(super.createUnnamed(parent, flags, mode, entry), entry);
  }

  override getAttributes(inode: number, file: number, attributes: FileAttributes): number {
    const result = super.getAttributes(inode, file, attributes);
    if (result >= 0) this.#show(this.#fdOf(inode, file), attributes);
    return result;
  }

  override setAttributes(inode: number, file: number, changes: AttributeChanges, attributes: FileAttributes): number {
    const { uid, gid } = changes;
    if (uid !== undefined || gid !== undefined) {
      const result = this.#changeOwner(inode, file, uid, gid, attributes);
      if (result < 0) return result;
    }
    changes.uid = changes.gid = undefined;
    const result = super.setAttributes(inode, file, changes, attributes);
    changes.uid = uid;
    changes.gid = gid;
    if (result >= 0) this.#show(this.#fdOf(inode, file), attributes);
    return result;
  }

  #fdOf(inode: number, file: number): number {
    return file === 0 ? this.descriptorOf(inode) : this.files.fd(file);
  }

  #shown(result: number, entry: FileEntry): number {
    if (result >= 0) this.#show(this.descriptorOf(entry.inode), entry.attributes);
    return result;
  }

  /** Something new belongs to whoever makes it. */
  #made(result: number, entry: FileEntry): number {
    if (result >= 0 && (this.#uid !== 0 || this.#gid !== 0)) {
      this.#store(this.descriptorOf(entry.inode), this.#uid, this.#gid);
      this.#shown(result, entry);
    }
    return result;
  }

  /** Puts the owner that is kept into `attributes`; false if there is none. */
  #show(fd: number, attributes: FileAttributes): boolean {
    if (fd < 0) return false;
    const length = getAttribute(this.paths.of(fd), this.#key.address, this.#owner.address, OWNER_BYTES);
    if (length !== OWNER_BYTES) return false;
    attributes.uid = this.#view.getUint32(0, true);
    attributes.gid = this.#view.getUint32(4, true);
    return true;
  }

  #store(fd: number, uid: number, gid: number): number {
    if (fd < 0) return fd;
    this.#view.setUint32(0, uid, true);
    this.#view.setUint32(4, gid, true);
    return setAttribute(this.paths.of(fd), this.#key.address, this.#owner.address, OWNER_BYTES, 0);
  }

  /** As chown(2): what may be executed loses its privileges. */
  #changeOwner(
    inode: number,
    file: number,
    uid: number | undefined,
    gid: number | undefined,
    attributes: FileAttributes,
  ): number {
    const before = this.getAttributes(inode, file, attributes);
    if (before < 0) return before;
    const fd = this.#fdOf(inode, file);
    const result = this.#store(fd, uid ?? attributes.uid, gid ?? attributes.gid);
    if (result < 0 || (attributes.mode & S_IFMT) !== S_IFREG) return result;
    return this.takePrivilegesAway(fd);
  }
}
