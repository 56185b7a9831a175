import { callMemory, getAttribute, setAttribute } from '../../base/file-calls.ts';
import { FileAttributes } from '../attributes.ts';
import { S_ISGID } from '../constants.ts';
import { ForeignOwnersFolder } from './foreign-owners-folder.ts';

/** Where the owner that clients see is kept: u32 user, u32 group. */
export const OWNER_ATTRIBUTE = 'user.crosvm.owner';
const OWNER_BYTES = 8;

/**
 * A folder of the host all of whose files belong to the user that this process is. Whom a client takes for the owner of a file
 * or a folder is kept in an extended attribute; whoever has none, and other kinds of files, belong to whom the host says.
 */
export class OwnerKeepingFolder extends ForeignOwnersFolder {
  readonly #key = callMemory(OWNER_ATTRIBUTE.length + 1);
  readonly #owner = callMemory(OWNER_BYTES);
  readonly #view = new DataView(this.#owner.bytes.buffer);
  #uid = 0;
  #gid = 0;
  /** Of what is made just now. */
  #newGid = 0;
  readonly #parent = new FileAttributes();

  constructor(...parts: ConstructorParameters<typeof ForeignOwnersFolder>) {
    super(...parts);
    new TextEncoder().encodeInto(OWNER_ATTRIBUTE, this.#key.bytes);
  }

  override actAs(uid: number, gid: number, umask: number): void {
    this.#uid = uid;
    this.#gid = gid;
    super.actAs(uid, gid, umask);
  }

  /** What is made in a folder whose set-group-id bit is set belongs to its group (inode(7)). */
  protected override making(parent: number): void {
    const inherits = this.getAttributes(parent, 0, this.#parent) === 0 && (this.#parent.mode & S_ISGID) !== 0;
    this.#newGid = inherits ? this.#parent.gid : this.#gid;
  }

  /** Something new belongs to whoever makes it. */
  protected override made(inode: number): void {
    if (this.#uid !== 0 || this.#newGid !== 0) this.#store(this.descriptorOf(inode), this.#uid, this.#newGid);
  }

  protected override show(inode: number, file: number, attributes: FileAttributes): boolean {
    const fd = this.fdOf(inode, file);
    if (fd < 0) return false;
    const length = getAttribute(this.paths.of(fd), this.#key.address, this.#owner.address, OWNER_BYTES);
    if (length !== OWNER_BYTES) return false;
    attributes.uid = this.#view.getUint32(0, true);
    attributes.gid = this.#view.getUint32(4, true);
    return true;
  }

  /** Whoever unpacks an archive gives links, too, to whose they are; then nothing has to be kept. */
  protected override giveTo(inode: number, file: number, uid: number, gid: number, now: FileAttributes): number {
    return uid === now.uid && gid === now.gid ? 0 : this.#store(this.fdOf(inode, file), uid, gid);
  }

  #store(fd: number, uid: number, gid: number): number {
    if (fd < 0) return fd;
    this.#view.setUint32(0, uid, true);
    this.#view.setUint32(4, gid, true);
    return setAttribute(this.paths.of(fd), this.#key.address, this.#owner.address, OWNER_BYTES, 0);
  }
}
