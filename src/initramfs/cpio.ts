import { concatenate } from './concatenate.ts';

/** An entry of an archive. Give the folders before what lies in them. */
export interface CpioEntry {
  /** Relative to the root, without a slash at the front. */
  readonly path: string;
  /** File type and permissions: 0o100755 for a program, 0o040755 a folder, 0o120777 a symbolic link, 0o020600 a device. */
  readonly mode: number;
  /** The bytes of a file, or the target of a symbolic link. */
  readonly data?: Uint8Array | string;
  /** Major and minor number of a device node. */
  readonly device?: readonly [number, number];
}

const HEADER_LENGTH = 110;
const MAX_FIELD = 0xffff_ffff;

/**
 * Writes a cpio archive of the "newc" format, which Linux takes as an initramfs (Documentation/driver-api/early-userspace/
 * buffer-format.rst in the kernel). Everything belongs to root and is from 1970, so equal entries make equal bytes.
 */
export function cpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts = entries.map((entry, i) => record(entry, i + 1));
  parts.push(record({ path: 'TRAILER!!!', mode: 0 }, 0));
  return concatenate(parts);
}

function record(entry: CpioEntry, inode: number): Uint8Array {
  const encoder = new TextEncoder();
  const name = encoder.encode(`${checkPath(entry.path)}\0`);
  const data = typeof entry.data === 'string' ? encoder.encode(entry.data) : (entry.data ?? new Uint8Array(0));
  if (data.length > MAX_FIELD) throw new RangeError(`${entry.path} is too large for a cpio archive`);
  const [major, minor] = entry.device ?? [0, 0];
  // inode, mode, uid, gid, links, mtime, size, device of the file, device that it stands for, name, checksum.
  const fields = [inode, entry.mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const dataStart = align4(HEADER_LENGTH + name.length);
  const bytes = new Uint8Array(align4(dataStart + data.length));
  bytes.set(encoder.encode(header));
  bytes.set(name, HEADER_LENGTH);
  bytes.set(data, dataStart);
  return bytes;
}

function checkPath(path: string): string {
  if (path === '' || path.startsWith('/') || path.includes('\0')) {
    throw new RangeError(`${JSON.stringify(path)} cannot be a path in a cpio archive`);
  }
  return path;
}

function align4(n: number): number {
  return Math.ceil(n / 4) * 4;
}
