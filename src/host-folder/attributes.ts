/** What folders fill in and take: one object of each serves all requests, so nothing is allocated for one. */
import { Name } from './name.ts';

/** What stat(2) tells of a file. Times are seconds since 1970 (negative before) and nanoseconds. */
export class FileAttributes {
  /** The file's number, 64 bits in two halves: no other file of the folder has it, whatever that spans. */
  inoLow = 0;
  inoHigh = 0;
  /** Something is mounted there, and that is not a folder around it once more. */
  isMountRoot = false;
  /** Type and permissions, S_IF. */
  mode = 0;
  links = 0;
  uid = 0;
  gid = 0;
  /** Of a device node. */
  major = 0;
  minor = 0;
  /** Bytes. */
  size = 0;
  /** Of 512 bytes. */
  blocks = 0;
  blockSize = 4096;
  atime = 0;
  atimeNs = 0;
  mtime = 0;
  mtimeNs = 0;
  ctime = 0;
  ctimeNs = 0;
  /** When it was made, where the file system knows. */
  hasBirth = false;
  btime = 0;
  btimeNs = 0;
}

/** A file that a look-up has found, or that was made. */
export class FileEntry {
  /** What the folder knows it by from now on. */
  inode = 0;
  readonly attributes = new FileAttributes();
}

/** What is to become different; of a time, `'now'` or its seconds. */
export class AttributeChanges {
  mode: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
  size: number | undefined;
  atime: number | 'now' | undefined;
  atimeNs = 0;
  mtime: number | 'now' | undefined;
  mtimeNs = 0;
  /** With `size`: whoever truncates the file is not privileged, so set-user-id and set-group-id are taken away (chown(2)). */
  killsPrivileges = false;

  clear(): void {
    this.mode = this.uid = this.gid = this.size = this.atime = this.mtime = undefined;
    this.atimeNs = this.mtimeNs = 0;
    this.killsPrivileges = false;
  }
}

/** An entry as it is read from a folder. */
export class DirectoryEntry {
  /** Bytes of the name; `.` and `..` come, too. They hold until the next call. */
  readonly name = new Name();
  /** As in `FileAttributes`; where something is mounted, that of the folder beneath. */
  inoLow = 0;
  inoHigh = 0;
  /** S_IF >> 12, or 0 if it is not known. */
  type = 0;
  /** Where to go on behind it: 64 bits in two halves. */
  cookieLow = 0;
  cookieHigh = 0;
}

/** What statfs(2) tells of a file system. */
export class FolderStatistics {
  type = 0;
  blockSize = 4096;
  fragmentSize = 4096;
  /** In blocks of `fragmentSize`. */
  blocks = 0;
  free = 0;
  available = 0;
  files = 0;
  freeFiles = 0;
  nameLength = 255;
}

/** The last byte that a file can have; as the end of a lock, all that there ever will be. */
export const LOCK_END = 2n ** 63n - 1n;

/** A POSIX record lock (fcntl(2)). Some programs lock bytes that no file has, so it takes all of 63 bits. */
export class RecordLock {
  /** F_RDLCK, F_WRLCK or F_UNLCK. */
  type = 0;
  /** First byte. */
  start = 0n;
  /** Last byte, at most LOCK_END. */
  end = LOCK_END;
  /** Who has it, as the client counts processes; 0 for somebody else. */
  pid = 0;
}
