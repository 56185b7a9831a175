import type { AttributeChanges, FileAttributes, FileEntry } from '../attributes.ts';
import { S_IFMT, S_IFREG } from '../constants.ts';
import type { Name } from '../name.ts';
import { LinuxFolder } from './linux-folder.ts';

/** The host's own owners are to be changed: an answer of `giveTo`. */
export const UP_TO_HOST = 1;

/** A folder of the host that shows clients other owners of its files than the host does. */
export abstract class ForeignOwnersFolder extends LinuxFolder {
  /** Something is about to be made in a folder; without a name, a file that has none. */
  protected abstract making(parent: number, name: Name | undefined): void;

  /** It is there. */
  protected abstract made(inode: number): void;

  /** Puts the owner that clients see into `attributes`; false if there is none but the host's. */
  protected abstract show(inode: number, file: number, attributes: FileAttributes): boolean;

  /**
   * Makes a user and a group the owners that clients see, who are those of `attributes` now. 0, `UP_TO_HOST` or a negative errno.
   */
  protected abstract giveTo(inode: number, file: number, uid: number, gid: number, attributes: FileAttributes): number;

  override lookup(parent: number, name: Name, entry: FileEntry): number {
    return this.#shown(super.lookup(parent, name, entry), entry);
  }

  override link(inode: number, parent: number, name: Name, entry: FileEntry): number {
    return this.#shown(super.link(inode, parent, name, entry), entry);
  }

  override makeDirectory(parent: number, name: Name, mode: number, entry: FileEntry): number {
    this.making(parent, name);
    return this.#made(super.makeDirectory(parent, name, mode, entry), entry);
  }

  override makeNode(parent: number, name: Name, mode: number, major: number, minor: number, entry: FileEntry): number {
    this.making(parent, name);
    return this.#made(super.makeNode(parent, name, mode, major, minor, entry), entry);
  }

  override symlink(parent: number, name: Name, target: Name, entry: FileEntry): number {
    this.making(parent, name);
    return this.#made(super.symlink(parent, name, target, entry), entry);
  }

  /** What was there already has its owner. */
  override create(parent: number, name: Name, flags: number, mode: number, entry: FileEntry): number {
    this.making(parent, name);
    const file = super.create(parent, name, flags, mode, entry);
    return file > 0 && !this.show(entry.inode, file, entry.attributes) ? this.#made(file, entry) : file;
  }

  override createUnnamed(parent: number, flags: number, mode: number, entry: FileEntry): number {
    this.making(parent, undefined);
    return this.#made(super.createUnnamed(parent, flags, mode, entry), entry);
  }

  override getAttributes(inode: number, file: number, attributes: FileAttributes): number {
    const result = super.getAttributes(inode, file, attributes);
    if (result >= 0) this.show(inode, file, attributes);
    return result;
  }

  override setAttributes(inode: number, file: number, changes: AttributeChanges, attributes: FileAttributes): number {
    const { uid, gid } = changes;
    const changed = (uid ?? gid) === undefined ? UP_TO_HOST : this.#changeOwner(inode, file, changes, attributes);
    if (changed < 0) return changed;
    if (changed !== UP_TO_HOST) changes.uid = changes.gid = undefined;
    const result = super.setAttributes(inode, file, changes, attributes);
    changes.uid = uid;
    changes.gid = gid;
    if (result >= 0) this.show(inode, file, attributes);
    return result;
  }

  /** A descriptor of an inode, or of one of its files. */
  protected fdOf(inode: number, file: number): number {
    return file === 0 ? this.descriptorOf(inode) : this.files.fd(file);
  }

  /** As chown(2): what may be executed loses its privileges. */
  #changeOwner(inode: number, file: number, { uid, gid }: AttributeChanges, attributes: FileAttributes): number {
    const before = this.getAttributes(inode, file, attributes);
    if (before < 0) return before;
    const result = this.giveTo(inode, file, uid ?? attributes.uid, gid ?? attributes.gid, attributes);
    if (result !== 0 || (attributes.mode & S_IFMT) !== S_IFREG) return result;
    return this.takePrivilegesAway(this.fdOf(inode, file));
  }

  #shown(result: number, entry: FileEntry): number {
    if (result >= 0) this.show(entry.inode, 0, entry.attributes);
    return result;
  }

  #made(result: number, entry: FileEntry): number {
    if (result >= 0) this.made(entry.inode);
    return this.#shown(result, entry);
  }
}
