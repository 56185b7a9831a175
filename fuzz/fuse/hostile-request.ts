import type { Random } from '../../e2e/differential/random.ts';
import * as protocol from '../../src/fuse/protocol.ts';

/** Bytes of arguments in front of names and data, by opcode; 0 for all others. */
const ARGUMENTS: Readonly<Record<number, number>> = {
  [protocol.FUSE_INIT]: 64,
  [protocol.FUSE_GETATTR]: 16,
  [protocol.FUSE_STATX]: 24,
  [protocol.FUSE_SETATTR]: 88,
  [protocol.FUSE_MKNOD]: 16,
  [protocol.FUSE_MKDIR]: 8,
  [protocol.FUSE_RENAME]: 8,
  [protocol.FUSE_RENAME2]: 16,
  [protocol.FUSE_LINK]: 8,
  [protocol.FUSE_OPEN]: 8,
  [protocol.FUSE_OPENDIR]: 8,
  [protocol.FUSE_CREATE]: 16,
  [protocol.FUSE_TMPFILE]: 16,
  [protocol.FUSE_READ]: 40,
  [protocol.FUSE_WRITE]: 40,
  [protocol.FUSE_READDIR]: 40,
  [protocol.FUSE_READDIRPLUS]: 40,
  [protocol.FUSE_FLUSH]: 24,
  [protocol.FUSE_RELEASE]: 24,
  [protocol.FUSE_RELEASEDIR]: 24,
  [protocol.FUSE_FSYNC]: 16,
  [protocol.FUSE_FORGET]: 8,
  [protocol.FUSE_BATCH_FORGET]: 8,
  [protocol.FUSE_SETXATTR]: 16,
  [protocol.FUSE_GETXATTR]: 8,
  [protocol.FUSE_LISTXATTR]: 8,
  [protocol.FUSE_FALLOCATE]: 32,
  [protocol.FUSE_LSEEK]: 24,
  [protocol.FUSE_COPY_FILE_RANGE]: 56,
  [protocol.FUSE_IOCTL]: 32,
  [protocol.FUSE_GETLK]: 48,
  [protocol.FUSE_SETLK]: 48,
  [protocol.FUSE_SETLKW]: 48,
  [protocol.FUSE_INTERRUPT]: 8,
};
const OPCODES = [
  ...Object.keys(ARGUMENTS).map(Number),
  ...[protocol.FUSE_LOOKUP, protocol.FUSE_UNLINK, protocol.FUSE_RMDIR, protocol.FUSE_SYMLINK, protocol.FUSE_READLINK],
  ...[protocol.FUSE_LOOKUP, protocol.FUSE_CREATE, protocol.FUSE_MKDIR, protocol.FUSE_STATFS, protocol.FUSE_REMOVEXATTR],
];

/** Names that are there or may be, and such as lead elsewhere if they are believed. */
const NAMES = [
  'a',
  'b',
  'c',
  'sub',
  'link',
  'up',
  'user.a',
  'user.b',
  'security.c',
  '..',
  '.',
  '',
  '../secret',
  '/secret',
];
const LONG = ['x'.repeat(255), 'x'.repeat(256), 'y'.repeat(4096)];

/** A request that is half right: nodes, files and sizes are small numbers, mostly. `unique` is its own number. */
export function hostileRequest(random: Random, unique: number): Uint8Array {
  const opcode = random.chance(0.97) ? random.pick(OPCODES) : random.below(60);
  const parts = [argumentsOf(random, opcode)];
  for (let i = random.below(3); i >= 0; i--) parts.push(Buffer.from(`${name(random)}\0`));
  if (random.chance(0.3)) parts.push(new Uint8Array(random.below(5000)).fill(random.u32()));
  const body = Buffer.concat(parts);
  const request = new Uint8Array(protocol.IN_HEADER_SIZE + body.length);
  request.set(body, protocol.IN_HEADER_SIZE);
  const view = new DataView(request.buffer);
  view.setUint32(0, random.chance(0.98) ? request.length : random.u32(), true);
  view.setUint32(4, opcode, true);
  view.setUint32(8, unique, true);
  view.setUint32(16, random.chance(0.5) ? 1 : number(random), true);
  view.setUint32(24, random.pick([0, 0, 0, 1000, 0xffff_ffff]), true);
  view.setUint32(28, random.pick([0, 0, 0, 1000, 0xffff_ffff]), true);
  if (random.chance(0.02)) view.setUint16(36, random.u32(), true);
  return random.chance(0.98) ? request : request.subarray(0, random.below(request.length));
}

function argumentsOf(random: Random, opcode: number): Uint8Array {
  const words = new Uint32Array((ARGUMENTS[opcode] ?? 0) / 4);
  for (let i = 0; i < words.length; i++) words[i] = i % 2 === 1 && random.chance(0.8) ? 0 : number(random);
  if (opcode === protocol.FUSE_INIT) words.set([7, random.pick([26, 27, 31, 37, 41])]);
  // What it may set: not so much at a time that it never works.
  if (opcode === protocol.FUSE_SETATTR) words[0] = 1 << random.below(12);
  if (opcode === protocol.FUSE_CREATE || opcode === protocol.FUSE_OPEN)
    words[0] = random.pick([0, 1, 2, 0o1002, 0o2001]);
  if (opcode === protocol.FUSE_MKNOD) words[0] = random.pick([0o100644, 0o10644, 0o140644, 0o20644, 0o60644, 0o40755]);
  return new Uint8Array(words.buffer);
}

function name(random: Random): string {
  return random.chance(0.97) ? random.pick(NAMES) : random.pick(LONG);
}

function number(random: Random): number {
  return random.chance(0.9)
    ? random.below(12)
    : random.pick([100, 4096, 65536, 0x7fff_ffff, 0xffff_ffff, random.u32()]);
}
