import type { FileAttributes } from '../attributes.ts';
import { EPERM } from '../errno.ts';
import type { Name } from '../name.ts';
import { ForeignOwnersFolder, UP_TO_HOST } from './foreign-owners-folder.ts';
import type { LinuxFolder } from './linux-folder.ts';
import { type PathOwner, PathOwners } from './path-owners.ts';

/**
 * A folder of the host in which it depends on a file's path whose it is: clients see one owner of all files there, and what they
 * make there is another one's on the host. Elsewhere all is as on the host. The mark of an inode is who owned it when it was seen
 * last, which counts for files that have lost their names.
 */
export class PathOwnersFolder extends ForeignOwnersFolder {
  readonly #owners: PathOwners;
  readonly #path: number[] = [];
  readonly #isNamed = (reference: number, name: Name) => this.inodes.isNamed(reference, name);
  #umask = 0;
  /** Of what is made just now. */
  #maker = 0;

  constructor(owners: readonly PathOwner[], ...parts: ConstructorParameters<typeof LinuxFolder>) {
    super(...parts);
    this.#owners = new PathOwners(owners);
  }

  override actAs(uid: number, gid: number, umask: number): void {
    this.#umask = umask;
    super.actAs(uid, gid, umask);
  }

  protected override making(parent: number, name: Name | undefined): void {
    this.#maker = this.inodes.pathTo(parent, this.#path) ? this.#owners.find(this.#path, this.#isNamed, name) : 0;
    if (this.#maker === 0) return;
    const { host, umask } = this.#owners.get(this.#maker);
    super.actAs(host.uid, host.gid, this.#umask | umask);
  }

  protected override made(inode: number): void {
    this.inodes.setMark(inode, this.#maker);
  }

  protected override show(inode: number, _file: number, attributes: FileAttributes): boolean {
    const owner = this.#ownerOf(inode);
    if (owner === 0) return false;
    const { uid, gid } = this.#owners.get(owner).shown;
    attributes.uid = uid;
    attributes.gid = gid;
    return true;
  }

  /** There is one owner to give files to, whose they are already. */
  protected override giveTo(inode: number, _file: number, uid: number, gid: number, now: FileAttributes): number {
    if (this.#ownerOf(inode) === 0) return UP_TO_HOST;
    return uid === now.uid && gid === now.gid ? 0 : -EPERM;
  }

  #ownerOf(inode: number): number {
    const { inodes } = this;
    if (!inodes.pathTo(inode, this.#path)) return inodes.mark(inode);
    const owner = this.#owners.find(this.#path, this.#isNamed);
    inodes.setMark(inode, owner);
    return owner;
  }
}
