/** Files that hold what can be made again. Whoever can write them decides what later runs execute: only their owner. */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

const OTHERS_MAY_WRITE = 0o022;

/** Its bytes, and it counts as used now; undefined if there is no such file that only this user can have written. */
export function readCachedFile(path: string, maximum: number): Buffer<ArrayBuffer> | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { uid, mode, size } = fstatSync(fd);
    const isOurs = uid === process.geteuid!() && (mode & OTHERS_MAY_WRITE) === 0;
    if (!isOurs || (mode & constants.S_IFMT) !== constants.S_IFREG || size > maximum) return undefined;
    const bytes = readFileSync(fd) as Buffer<ArrayBuffer>;
    const now = Date.now() / 1000;
    futimesSync(fd, now, now);
    return bytes;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Writes it whole or not at all, for nobody else to read; then removes files of its folder, those that were used longest
 * ago first, until the folder has no more than `total` bytes. Throws what the file system throws.
 */
export function writeCachedFile(path: string, parts: readonly Uint8Array[], total: number): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  makePrivate(folder);
  const temporary = join(folder, `.${basename(path)}-${process.pid}-${performance.now()}`);
  const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    fchmodSync(fd, 0o600);
    for (const part of parts) writeFileSync(fd, part);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  shrink(folder, total);
}

function makePrivate(folder: string): void {
  const { uid, mode } = lstatSync(folder);
  if (uid !== process.geteuid!()) throw new Error(`${folder} belongs to somebody else`);
  if ((mode & OTHERS_MAY_WRITE) !== 0) chmodSync(folder, 0o700);
}

function shrink(folder: string, total: number): void {
  const files = readdirSync(folder)
    .map((name) => ({ path: join(folder, name), ...statOf(join(folder, name)) }))
    .filter(({ isFile }) => isFile)
    .sort((a, b) => b.used - a.used);
  let size = 0;
  for (const file of files) {
    size += file.size;
    if (size > total) rmSync(file.path, { force: true });
  }
}

/** Another run may have removed it meanwhile. */
function statOf(path: string): { isFile: boolean; size: number; used: number } {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return { isFile: stat?.isFile() === true, size: stat?.size ?? 0, used: stat?.mtimeMs ?? 0 };
}
