/** Makes a folder of the host the root folder of all processes in the calling one's mount namespace. */
import { close } from './fd.ts';
import { check, libc, pin } from './ffi.ts';
import { systemCall } from './system-call.ts';

const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MNT_DETACH = 2;

const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NOSUID = 2;
const MOUNT_ATTR_NODEV = 4;
const MOUNT_ATTR_NOEXEC = 8;
/** struct mount_attr: attr_set, attr_clr, propagation, userns_fd; 8 bytes each. */
const MOUNT_ATTR_SIZE = 32;

const cChdir = libc<(path: string) => number>('int chdir(const char *)');
const cFchdir = libc<(fd: number) => number>('int fchdir(int)');
const cPivotRoot = libc<(newRoot: string, oldRoot: string) => number>('int pivot_root(const char *, const char *)');
const cUmount = libc<(target: string, flags: number) => number>('int umount2(const char *, int)');

/** A folder that is on every host, to mount things on. */
const MOUNT_POINT = '/proc';

/** The folder that lists a process's descriptors, as an open one that leads nowhere else. Throws `SystemError`. */
export function descriptorsOf(process: number | 'self'): number {
  return cloneTree(`/proc/${process}/fd`, 0);
}

/** Makes an open folder, which is closed, this process's working directory. Throws `SystemError`. */
export function workIn(folder: number): void {
  check(cFchdir(folder), 'fchdir');
  close(folder);
}

/**
 * From now on `folder` is `/`, with all that is mounted in it; nothing else can be reached. Device nodes in it are none, and
 * with `readOnly` nothing can be changed. Takes Linux 5.12. Throws `SystemError`.
 */
export function enterSharedRoot(folder: string, readOnly: boolean): void {
  const tree = cloneTree(folder, AT_RECURSIVE);
  const flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (readOnly ? MOUNT_ATTR_RDONLY : 0);
  const attributes = BigUint64Array.of(BigInt(flags), 0n, 0n, 0n);
  const result = systemCall(
    SYS_MOUNT_SETATTR,
    tree,
    empty,
    AT_EMPTY_PATH | AT_RECURSIVE,
    pin(attributes),
    MOUNT_ATTR_SIZE,
    0,
  );
  check(result, 'mount_setattr', folder);
  const place = pin(new TextEncoder().encode(`${MOUNT_POINT}\0`));
  check(systemCall(SYS_MOVE_MOUNT, tree, empty, AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH, 0), 'move_mount', folder);
  close(tree);
  check(cChdir(MOUNT_POINT), 'chdir', folder);
  // Both at one place, so that no folder is needed to put the old one (pivot_root(2)).
  check(cPivotRoot('.', '.'), 'pivot_root', folder);
  check(cUmount('.', MNT_DETACH), 'umount2');
}

const empty = pin(new Uint8Array(1));

/** A copy of what is mounted at a path, which is mounted nowhere. */
function cloneTree(path: string, flags: number): number {
  const address = pin(new TextEncoder().encode(`${path}\0`));
  const how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags;
  return check(systemCall(SYS_OPEN_TREE, AT_FDCWD, address, how, 0, 0, 0), 'open_tree', path);
}
