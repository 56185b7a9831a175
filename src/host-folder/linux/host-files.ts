import type { DescriptorPaths } from '../../base/descriptor-paths.ts';
import {
  allocateRange,
  changeMode,
  controlFd,
  copyBetween,
  readList,
  seekTo,
  statxFd,
  syncFd,
  wholeFileLock,
  writeList,
} from '../../base/file-calls.ts';
import type { HostMemory, ScatterList } from '../../memory/scatter-list.ts';
import type { RecordLock } from '../attributes.ts';
import {
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  LOCK_NB,
  S_IALL,
  S_ISGID,
  S_ISUID,
} from '../constants.ts';
import { EBADF, EINVAL, ENOTTY } from '../errno.ts';
import { OpenFiles } from './open-files.ts';
import { RecordLocks } from './record-locks.ts';
import { statxMode } from './statx.ts';

const GROUP_EXECUTE = 0o010;
const CONTROLS: ReadonlySet<number> = new Set([FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR]);
const CONTROL_BYTES = 28;

/** What is done with files of the host that clients have open: a part of `LinuxFolder`. */
export class HostFiles {
  protected readonly files = new OpenFiles();
  protected readonly locks: RecordLocks;
  protected readonly paths: DescriptorPaths;

  /** `open` opens a regular file of an inode; returns its descriptor or a negative errno. */
  constructor(paths: DescriptorPaths, open: (inode: number, flags: number) => number) {
    this.paths = paths;
    this.locks = new RecordLocks(open);
  }

  read(file: number, offset: number, list: ScatterList): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : readList(fd, offset, list);
  }

  write(file: number, offset: number, list: ScatterList): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : writeList(fd, offset, list);
  }

  sync(file: number, dataOnly: boolean): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : syncFd(fd, dataOnly);
  }

  allocate(file: number, mode: number, offset: number, length: number): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : allocateRange(fd, mode, offset, length);
  }

  seek(file: number, offset: number, whence: number): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : seekTo(fd, offset, whence);
  }

  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
    const source = this.files.fd(from);
    const target = this.files.fd(to);
    if (source < 0 || target < 0) return -EBADF;
    return copyBetween(source, fromOffset, target, toOffset, length);
  }

  killPrivileges(file: number): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : this.takePrivilegesAway(fd);
  }

  control(file: number, request: number, argument: HostMemory): number {
    const fd = this.files.fd(file);
    if (fd < 0) return fd;
    if (!CONTROLS.has(request)) return -ENOTTY;
    return argument.bytes.length < CONTROL_BYTES ? -EINVAL : controlFd(fd, request, argument);
  }

  testLock(file: number, owner: bigint, lock: RecordLock): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : this.locks.test(this.files.inode(file), fd, owner, lock);
  }

  setLock(file: number, owner: bigint, lock: RecordLock): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : this.locks.set(this.files.inode(file), file, owner, lock);
  }

  releaseLocks(file: number, owner: bigint): void {
    if (this.files.fd(file) >= 0) this.locks.release(this.files.inode(file), owner);
  }

  lockFile(file: number, operation: number): number {
    const fd = this.files.fd(file);
    return fd < 0 ? fd : wholeFileLock(fd, operation | LOCK_NB);
  }

  /** Set-user-id, and set-group-id of what a group may execute. Capabilities the kernel takes away by itself. */
  protected takePrivilegesAway(fd: number): number {
    const result = statxFd(fd);
    if (result < 0) return result;
    const mode = statxMode();
    let privileges = mode & S_ISUID;
    if ((mode & GROUP_EXECUTE) !== 0) privileges |= mode & S_ISGID;
    return privileges === 0 ? 0 : changeMode(this.paths.of(fd), mode & S_IALL & ~privileges);
  }
}
