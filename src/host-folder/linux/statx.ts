/** What the last statx(2) has found (`statxWords`), by the names of its fields. */
import { statxWords as words } from '../../base/file-calls.ts';
import type { FileAttributes } from '../attributes.ts';
import { S_IFMT } from '../constants.ts';

const STATX_BTIME = 0x800;
const STATX_ATTR_MOUNT_ROOT = 0x2000;

const ATTRIBUTES = 2;
const NLINK = 4;
const MODE = 7;
const INO = 8;
const DEV = 34;

export function statxInoLow(): number {
  return words[INO]!;
}

export function statxInoHigh(): number {
  return words[INO + 1]!;
}

export function statxMode(): number {
  return words[MODE]! & 0xffff;
}

/** S_IF >> 12. */
export function statxType(): number {
  return (words[MODE]! & S_IFMT) >> 12;
}

export function statxLinks(): number {
  return words[NLINK]!;
}

export function statxMajor(): number {
  return words[DEV]!;
}

export function statxMinor(): number {
  return words[DEV + 1]!;
}

/** Numbers are the host's. */
export function statxAttributes(to: FileAttributes): void {
  to.inoLow = words[INO]!;
  to.inoHigh = words[INO + 1]!;
  to.isMountRoot = (words[ATTRIBUTES]! & STATX_ATTR_MOUNT_ROOT) !== 0;
  to.mode = words[MODE]! & 0xffff;
  to.links = words[NLINK]!;
  to.uid = words[5]!;
  to.gid = words[6]!;
  to.major = words[32]!;
  to.minor = words[33]!;
  to.size = number(10);
  to.blocks = number(12);
  to.blockSize = words[1]!;
  to.atime = signed(16);
  to.atimeNs = words[18]!;
  to.ctime = signed(24);
  to.ctimeNs = words[26]!;
  to.mtime = signed(28);
  to.mtimeNs = words[30]!;
  to.hasBirth = (words[0]! & STATX_BTIME) !== 0;
  to.btime = signed(20);
  to.btimeNs = words[22]!;
}

function number(word: number): number {
  return words[word]! + words[word + 1]! * 0x1_0000_0000;
}

function signed(word: number): number {
  return words[word]! + (words[word + 1]! | 0) * 0x1_0000_0000;
}
