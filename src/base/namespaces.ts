/** Namespaces and mounts (namespaces(7), mount_namespaces(7)) of the calling process, which must have one thread. */
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CrosvmError } from '../errors.ts';
import { check, libc } from './ffi.ts';

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_PRIVATE = 1 << 18;
const MS_SLAVE = 1 << 19;
const MNT_DETACH = 2;

const cUnshare = libc<(flags: number) => number>('int unshare(int)');
const cMount = libc<(source: string, target: string, type: string, flags: number, data: string | null) => number>(
  'int mount(const char *, const char *, const char *, uint64_t, const char *)',
);
const cUmount = libc<(target: string, flags: number) => number>('int umount2(const char *, int)');
const cChdir = libc<(path: string) => number>('int chdir(const char *)');
const cPivotRoot = libc<(newRoot: string, oldRoot: string) => number>('int pivot_root(const char *, const char *)');

/** Moves to new namespaces; `flags` are CLONE_NEW ones. Throws `SystemError`: EPERM where the host forbids that. */
export function unshare(flags: number): void {
  check(cUnshare(flags), 'unshare');
}

/** What is mounted from now on in this mount namespace is seen nowhere else, and the other way round. */
export function makeMountsPrivate(): void {
  mount('none', '/', '', MS_REC | MS_PRIVATE);
}

/** What is mounted from now on in this mount namespace is seen nowhere else; what the one around mounts is, if that shares it. */
export function followMounts(): void {
  mount('none', '/', '', MS_REC | MS_SLAVE);
}

/**
 * Makes the root folder of all processes in this mount namespace an empty one in memory that cannot be written to. Of the
 * old one only `folders`, by their absolute paths, can be reached then.
 */
export function enterEmptyRoot(folders: readonly string[]): void {
  // Any folder that exists on every host will do.
  mount('none', '/proc', 'tmpfs', MS_NOSUID | MS_NODEV | MS_NOEXEC, 'size=64k,mode=755');
  enterRootAt('/proc', folders);
  mount('none', '/', '', MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

/** The same, with a folder of the host as the new root, in which mount points of `folders` exist. */
export function enterRoot(root: string, folders: readonly string[]): void {
  mount(root, root, '', MS_BIND | MS_REC);
  enterRootAt(root, folders);
}

function enterRootAt(mountPoint: string, folders: readonly string[]): void {
  for (const folder of folders) {
    makeMountPoint(mountPoint, folder);
    mount(folder, join(mountPoint, folder), '', MS_BIND | MS_REC);
  }
  check(cChdir(mountPoint), 'chdir', mountPoint);
  // Both at one place, so that no folder is needed to put the old one (pivot_root(2)).
  check(cPivotRoot('.', '.'), 'pivot_root', mountPoint);
  check(cUmount('.', MNT_DETACH), 'umount2');
  check(cChdir('/'), 'chdir');
}

/** Makes `folder` exist within `root`: a symbolic link on the way could lead out of that. Throws `E_JAIL`. */
function makeMountPoint(root: string, folder: string): void {
  let at = root;
  for (const name of folder.split('/').filter((part) => part !== '')) {
    at = join(at, name);
    try {
      mkdirSync(at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (!lstatSync(at).isDirectory()) throw new CrosvmError('E_JAIL', `${at} is no folder, as a mount point has to be`);
  }
}

function mount(source: string, target: string, type: string, flags: number, data: string | null = null): void {
  check(cMount(source, target, type, flags, data), 'mount', target);
}
