import { closeDescriptor } from '../../base/file-calls.ts';
import { EBADF } from '../errno.ts';

/** What clients have open: a descriptor of the host for each file. */
export class OpenFiles {
  /** By file, from 1; -1 for none. */
  readonly #fds: number[] = [-1];
  readonly #inodes: number[] = [0];
  readonly #free: number[] = [];

  /** Keeps a descriptor; returns the file. */
  add(fd: number, inode: number): number {
    const file = this.#free.pop() ?? this.#fds.length;
    this.#fds[file] = fd;
    this.#inodes[file] = inode;
    return file;
  }

  /** The descriptor of a file, or -EBADF. */
  fd(file: number): number {
    const fd = this.#fds[file];
    return fd === undefined || fd === -1 ? -EBADF : fd;
  }

  /** The inode of an open file. */
  inode(file: number): number {
    return this.#inodes[file]!;
  }

  /** The descriptor of some file of an inode; -1 if none is open. */
  someFd(inode: number): number {
    const file = this.#inodes.indexOf(inode, 1);
    return file === -1 ? -1 : this.#fds[file]!;
  }

  release(file: number): void {
    const fd = this.fd(file);
    if (fd < 0) return;
    closeDescriptor(fd);
    this.#fds[file] = -1;
    this.#inodes[file] = 0;
    this.#free.push(file);
  }

  releaseAll(): void {
    for (let file = 1; file < this.#fds.length; file++) this.release(file);
    this.#fds.length = this.#inodes.length = 1;
    this.#free.length = 0;
  }
}
