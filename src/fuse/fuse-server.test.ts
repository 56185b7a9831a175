import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { test } from 'node:test';
import { FS_IOC_SETFLAGS, O_RDONLY, O_RDWR, O_WRONLY, SEEK_DATA, SEEK_HOLE } from '../host-folder/constants.ts';
import * as errno from '../host-folder/errno.ts';
import { openFolder } from '../host-folder/linux/open-folder.ts';
import { MemoryFolder } from '../host-folder/memory/memory-folder.ts';
import type { FileWindow } from './file-window.ts';
import { DEFAULT_FUSE_OPTIONS, type FuseOptions } from './fuse-options.ts';
import { FuseServer } from './fuse-server.ts';
import * as protocol from './protocol.ts';
import { clientOf, errorOf, onBoth } from './testing/folder-clients.ts';
import { args, directTransport, FuseClient, join, text, transferArgs, zeroes } from './testing/fuse-client.ts';

const ROOT = 1;

test('INIT agrees on what both know, and refuses versions that are too old', () => {
  const server = new FuseServer(new MemoryFolder(), DEFAULT_FUSE_OPTIONS);
  const client = new FuseClient(directTransport(server));
  assert.equal(errorOf(client, protocol.FUSE_LOOKUP, ROOT, text('a')), -errno.EIO);
  assert.equal(errorOf(client, protocol.FUSE_INIT, 0, args(7, 26, 0, 0)), -errno.EPROTO);
  assert.equal(errorOf(client, protocol.FUSE_INIT, 0, args(6, 31, 0, 0)), -errno.EPROTO);
  const newer = client.ask(protocol.FUSE_INIT, 0, args(8, 0, 0, 0));
  assert.equal(newer.getUint32(0, true), 7);
  assert.equal(client.ask(protocol.FUSE_INIT, 0, args(7, 31, 0, 1 << protocol.FUSE_ASYNC_READ)).getUint32(12, true), 1);
  const { flags, flags2 } = client.init();
  assert.ok((flags & (1 << protocol.FUSE_POSIX_LOCKS)) !== 0);
  assert.equal(flags & (1 << protocol.FUSE_WRITEBACK_CACHE), 0);
  assert.ok((flags2 & 1) !== 0, 'security contexts');
});

test('folders at which something is mounted are mounts of the guest, if it wants that', () => {
  class Mounted extends MemoryFolder {
    override lookup(...words: Parameters<MemoryFolder['lookup']>): number {
      const result = super.lookup(...words);
      words[2].attributes.isMountRoot = true;
      return result;
    }
  }
  const server = new FuseServer(new Mounted(), DEFAULT_FUSE_OPTIONS);
  const client = new FuseClient(directTransport(server));
  const flagsOf = (name: string) => client.ask(protocol.FUSE_LOOKUP, ROOT, text(name)).getUint32(40 + 84, true);
  const { flags } = client.init();
  assert.ok((flags & (1 << protocol.FUSE_SUBMOUNTS)) !== 0);
  client.makeDirectory(ROOT, 'folder');
  client.create(ROOT, 'file', O_RDWR, 0o666);
  assert.deepEqual([flagsOf('folder'), flagsOf('file')], [protocol.FUSE_ATTR_SUBMOUNT, 0]);
  client.ask(protocol.FUSE_INIT, 0, args(7, 31, 0, 0xffff_ffff & ~(1 << protocol.FUSE_SUBMOUNTS)));
  assert.equal(flagsOf('folder'), 0, 'an older guest');
});

onBoth('files are made, written, read, listed and removed', (client) => {
  const folder = client.makeDirectory(ROOT, 'folder');
  const { node, file } = client.create(folder.nodeid, 'file', O_RDWR, 0o666);
  assert.equal(node.mode & 0o777, 0o644, 'the umask counts');
  const data = new Uint8Array(100_000).map((_, i) => i * 7);
  assert.equal(client.write(node.nodeid, file, 10, data), data.length);
  assert.deepEqual(client.read(node.nodeid, file, 10, data.length), data);
  assert.equal(client.read(node.nodeid, file, data.length, 100).length, 10);
  assert.equal(client.attributes(node.nodeid).size, data.length + 10);
  assert.equal(client.lookup(folder.nodeid, 'file').nodeid, node.nodeid);
  for (let i = 0; i < 200; i++) client.makeDirectory(ROOT, `folder ${i}`);
  assert.equal(client.readDirectory(ROOT, 512).length, 203);
  client.release(node.nodeid, file);
  client.unlink(folder.nodeid, 'file');
  assert.equal(errorOf(client, protocol.FUSE_LOOKUP, folder.nodeid, text('file')), -errno.ENOENT);
});

onBoth('to seek in a folder is answered, wherever the folder ends', (client) => {
  const folder = Number(client.ask(protocol.FUSE_OPENDIR, ROOT, args(0, 0)).getBigUint64(0, true));
  for (const whence of [SEEK_DATA, SEEK_HOLE]) {
    assert.notEqual(errorOf(client, protocol.FUSE_LSEEK, ROOT, args(folder, 0, 0, 0, whence, 0)), undefined);
  }
});

onBoth('READDIRPLUS gives out each node once, and none that did not fit', (client) => {
  for (let i = 0; i < 20; i++) client.makeDirectory(ROOT, `${i}`);
  const file = Number(client.ask(protocol.FUSE_OPENDIR, ROOT, args(0, 0)).getBigUint64(0, true));
  const answer = client.ask(protocol.FUSE_READDIRPLUS, ROOT, transferArgs(file, 0, 1000), 1016);
  const nodes: number[] = [];
  for (let at = 0; at < answer.byteLength; ) {
    const nodeid = Number(answer.getBigUint64(at, true));
    if (nodeid !== 0) nodes.push(nodeid);
    at += 128 + ((24 + answer.getUint32(at + 128 + 16, true) + 7) & ~7);
  }
  assert.ok(nodes.length >= 3);
  for (const nodeid of nodes) {
    client.forget(nodeid, 1);
    client.forget(nodeid, 1); // was given once by MKDIR, too
  }
});

onBoth('extended attributes', (client) => {
  const { node } = client.create(ROOT, 'file', O_RDWR, 0o666);
  const set = join(args(3, 0, 0, 0), text('user.a'), new TextEncoder().encode('abc'));
  client.ask(protocol.FUSE_SETXATTR, node.nodeid, set);
  const get = (size: number) => client.call(protocol.FUSE_GETXATTR, node.nodeid, join(args(size, 0), text('user.a')));
  assert.equal(get(0)!.payload.getUint32(0, true), 3);
  assert.equal(get(100)!.payload.byteLength, 3);
  assert.equal(get(2)!.error, -errno.ERANGE);
  assert.equal(client.ask(protocol.FUSE_LISTXATTR, node.nodeid, args(0, 0)).getUint32(0, true), 7);
  assert.equal(errorOf(client, protocol.FUSE_LISTXATTR, node.nodeid, args(3, 0)), -errno.ERANGE);
  client.ask(protocol.FUSE_REMOVEXATTR, node.nodeid, text('user.a'));
  assert.equal(get(0)!.error, -errno.ENODATA);
});

test('names are found in any case where that is wanted', () => {
  const client = clientOf(new MemoryFolder(), { asciiCasefold: true });
  const { node } = client.create(ROOT, 'ReadMe', O_RDWR, 0o666);
  assert.equal(client.lookup(ROOT, 'README').nodeid, node.nodeid);
  client.unlink(ROOT, 'readme');
  assert.equal(errorOf(client, protocol.FUSE_LOOKUP, ROOT, text('ReadMe')), -errno.ENOENT);
});

test('a folder that is shared for reading is not written to', () => {
  const folder = new MemoryFolder();
  clientOf(folder).create(ROOT, 'file', O_RDWR, 0o666);
  const client = clientOf(folder, { readOnly: true });
  const { nodeid } = client.lookup(ROOT, 'file');
  assert.equal(errorOf(client, protocol.FUSE_OPEN, nodeid, args(O_WRONLY, 0)), -errno.EROFS);
  assert.equal(errorOf(client, protocol.FUSE_MKDIR, ROOT, join(args(0, 0), text('x'))), -errno.EROFS);
  assert.equal(errorOf(client, protocol.FUSE_UNLINK, ROOT, text('file')), -errno.EROFS);
  assert.ok(client.open(nodeid, O_RDONLY) > 0);
});

test('what is said of the lengths of an ioctl is no way around read-only', () => {
  const path = mkdtempSync(joinPath(tmpdir(), 'crosvm-fuse-'));
  writeFileSync(joinPath(path, 'file'), '');
  const folder = openFolder(path);
  const client = clientOf(folder, { readOnly: true });
  const { nodeid } = client.lookup(ROOT, 'file');
  const file = client.open(nodeid, O_RDONLY);
  const nodump = 0x40;
  const set = (out: number) => args(file, 0, 0, FS_IOC_SETFLAGS, 0, 0, 4, out, nodump);
  for (const out of [0, 4]) assert.equal(errorOf(client, protocol.FUSE_IOCTL, nodeid, set(out)), -errno.EROFS);
  folder.close();
  rmSync(path, { recursive: true });
});

onBoth('requests that are not right are refused', (client) => {
  const { node, file } = client.create(ROOT, 'file', O_RDWR, 0o666);
  const error = (opcode: number, nodeid: number, request: Uint8Array, room?: number) =>
    errorOf(client, opcode, nodeid, request, room);
  const noZero = (name: string) => new TextEncoder().encode(name);
  for (const name of ['..', '.', 'a/b', '/etc/passwd', '../x', '/']) {
    assert.equal(error(protocol.FUSE_LOOKUP, ROOT, text(name)), -errno.EINVAL, name);
    assert.equal(error(protocol.FUSE_MKDIR, ROOT, join(args(0o777, 0), text(name))), -errno.EINVAL, name);
    assert.equal(error(protocol.FUSE_UNLINK, ROOT, text(name)), -errno.EINVAL, name);
    assert.equal(error(protocol.FUSE_RENAME, ROOT, join(args(1, 0), text('file'), text(name))), -errno.EINVAL, name);
    assert.equal(error(protocol.FUSE_LINK, ROOT, join(args(node.nodeid, 0), text(name))), -errno.EINVAL, name);
  }
  assert.equal(error(protocol.FUSE_LOOKUP, ROOT, text('')), -errno.ENOENT);
  assert.equal(error(protocol.FUSE_LOOKUP, ROOT, noZero('file')), -errno.EINVAL);
  assert.equal(error(protocol.FUSE_LOOKUP, ROOT, text('a'.repeat(256))), -errno.ENAMETOOLONG);
  assert.equal(error(protocol.FUSE_LOOKUP, ROOT, text('a'.repeat(4096))), -errno.ENAMETOOLONG);
  assert.equal(error(protocol.FUSE_LOOKUP, ROOT, text('a'.repeat(100_000))), -errno.EINVAL);
  assert.equal(error(protocol.FUSE_SYMLINK, ROOT, join(text('l'), text('a'.repeat(5000)))), -errno.ENAMETOOLONG);
  assert.equal(error(protocol.FUSE_RENAME, ROOT, join(args(1, 0), text('file'))), -errno.EINVAL);
  for (const nodeid of [0, 99, 2 ** 31, 2 ** 52, node.nodeid + 1]) {
    assert.equal(error(protocol.FUSE_GETATTR, nodeid, args(0, 0, 0, 0)), -errno.ESTALE);
  }
  for (const bad of [0, 99, 2 ** 31]) {
    assert.equal(error(protocol.FUSE_READ, ROOT, transferArgs(bad, 0, 10)), -errno.EBADF);
    assert.equal(error(protocol.FUSE_RELEASE, ROOT, args(bad, 0, 0, 0, 0, 0)), 0);
    assert.equal(error(protocol.FUSE_READDIR, ROOT, transferArgs(bad, 0, 1000)), -errno.EBADF);
  }
  assert.equal(error(protocol.FUSE_WRITE, ROOT, join(transferArgs(file, 0, 1000), zeroBytes(10))), -errno.EINVAL);
  assert.equal(error(protocol.FUSE_READ, ROOT, args(file, 0, 0, 0xffff_ffff, 10, 0, 0, 0, 0, 0)), -errno.EINVAL);
  const farWrite = args(file, 0, 0, 0x7fff_ffff, 1, 0, 0, 0, 0, 0);
  assert.equal(error(protocol.FUSE_WRITE, ROOT, join(farWrite, zeroBytes(1))), -errno.EFBIG);
  assert.equal(error(protocol.FUSE_IOCTL, ROOT, args(file, 0, 0, 0x5401, 0, 0, 0, 28)), -errno.ENOTTY);
  assert.equal(error(protocol.FUSE_IOCTL, ROOT, args(file, 0, 0, 0x5401, 0, 0, 4096, 4096)), -errno.E2BIG);
  assert.equal(error(protocol.FUSE_LSEEK, ROOT, args(file, 0, 0, 0, 2, 0)), -errno.EINVAL);
  for (const opcode of [0, 7, 19, 37, 40, 48, 49, 53, 4096, 0xffff_ffff]) {
    assert.equal(error(opcode, ROOT, new Uint8Array(100)), -errno.ENOSYS, `${opcode}`);
  }
  // Room for no answer, or not for all of it.
  assert.equal(client.call(protocol.FUSE_GETATTR, ROOT, args(0, 0, 0, 0), 15), undefined);
  assert.equal(client.call(protocol.FUSE_GETATTR, ROOT, args(0, 0, 0, 0), 100), undefined);
  const folder = Number(client.ask(protocol.FUSE_OPENDIR, ROOT, args(0, 0)).getBigUint64(0, true));
  assert.equal(error(protocol.FUSE_READDIR, ROOT, transferArgs(folder, 0, 8), 100), -errno.EINVAL);
  // Counts that lie.
  client.forget(node.nodeid, 0xffff_ffff);
  client.forget(ROOT, 0xffff_ffff);
  client.call(protocol.FUSE_BATCH_FORGET, 0, args(0xffff_ffff, 0, 1, 0, 1, 0), 0);
  assert.equal(error(protocol.FUSE_GETATTR, ROOT, args(0, 0, 0, 0)), 0);
  assert.equal(client.call(protocol.FUSE_FORGET, ROOT, args(1), 100), undefined);
});

onBoth('every opcode bears arguments of any length and of ones', (client) => {
  for (let opcode = 0; opcode < 60; opcode++) {
    if (opcode === protocol.FUSE_DESTROY || opcode === protocol.FUSE_INIT) continue;
    for (const length of [0, 1, 7, 8, 16, 31, 40, 63, 88, 200]) {
      for (const byte of [0, 1, 0x41, 0xff]) client.call(opcode, ROOT, new Uint8Array(length).fill(byte), 256);
    }
  }
  assert.equal(errorOf(client, protocol.FUSE_GETATTR, ROOT, args(0, 0, 0, 0)), 0);
});

test('requests whose header lies', () => {
  const server = new FuseServer(new MemoryFolder(), DEFAULT_FUSE_OPTIONS);
  const send = directTransport(server);
  const client = new FuseClient(send);
  client.init();
  const request = client.encode(protocol.FUSE_LOOKUP, ROOT, text('a'));
  for (const length of [0, 39, request.length + 1, 0xffff_ffff]) {
    const lying = request.slice();
    new DataView(lying.buffer).setUint32(0, length, true);
    assert.equal(new DataView(send(lying, 100)!.slice().buffer).getInt32(4, true), -errno.EINVAL);
  }
  for (const length of [0, 1, 39]) assert.equal(send(request.slice(0, length), 100), undefined);
});

test('what is outside of the folder is neither read nor written, whatever links say', () => {
  const path = mkdtempSync(joinPath(tmpdir(), 'crosvm-fuse-'));
  const share = joinPath(path, 'share');
  mkdirSync(share);
  writeFileSync(joinPath(path, 'secret'), 'secret');
  symlinkSync('../secret', joinPath(share, 'link'));
  symlinkSync('..', joinPath(share, 'up'));
  const folder = openFolder(share);
  const client = clientOf(folder);
  const link = client.lookup(ROOT, 'link').nodeid;
  const up = client.lookup(ROOT, 'up').nodeid;
  assert.equal(errorOf(client, protocol.FUSE_OPEN, link, args(O_RDWR, 0)), -errno.ELOOP);
  assert.equal(errorOf(client, protocol.FUSE_LOOKUP, up, text('secret')), -errno.ENOTDIR);
  assert.equal(errorOf(client, protocol.FUSE_OPENDIR, up, args(0, 0)), -errno.ENOTDIR);
  const create = join(args(O_RDWR, 0o666, 0, 0), text('link'));
  assert.equal(errorOf(client, protocol.FUSE_CREATE, ROOT, create), -errno.ELOOP);
  const truncate = args(1 << 3, 0, ...zeroes(20));
  assert.equal(errorOf(client, protocol.FUSE_SETATTR, link, truncate), -errno.EINVAL);
  const attribute = join(args(1, 0, 0, 0), text('user.x'), text('').fill(65));
  assert.ok(errorOf(client, protocol.FUSE_SETXATTR, link, attribute)! < 0);
  const before = lstatSync(joinPath(path, 'secret'));
  client.call(protocol.FUSE_SETATTR, link, args(1 | (1 << 8), 0, ...zeroes(15), 0o777, ...zeroes(4)));
  const after = lstatSync(joinPath(path, 'secret'));
  assert.deepEqual([after.mode, after.mtimeMs], [before.mode, before.mtimeMs]);
  assert.equal(readFileSync(joinPath(path, 'secret'), 'utf8'), 'secret');
  assert.equal(existsSync(joinPath(path, 'x')), false);
  folder.close();
  rmSync(path, { recursive: true });
});

function zeroBytes(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** Writes down what is mapped where; one place is taken. */
class RecordingWindow implements FileWindow {
  readonly size: number = 16 * 4096;
  readonly calls: unknown[] = [];

  map(fd: number, fdOffset: number, offset: number, length: number, writable: boolean): number {
    this.calls.push(['map', fdOffset, offset, length, writable]);
    return fd > 2 && offset !== 0x8000 ? 0 : -errno.ENOSPC;
  }

  unmap(offset: number, length: number): number {
    this.calls.push(['unmap', offset, length]);
    return 0;
  }
}

/** struct fuse_setupmapping_in; Linux names no file. */
function mapArgs(fdOffset: number, length: number, flags: number, offset: number): Uint8Array {
  const request = new Uint8Array(40).fill(0xff, 0, 8);
  const view = new DataView(request.buffer);
  for (const [i, value] of [fdOffset, length, flags, offset].entries())
    view.setBigUint64(8 + 8 * i, BigInt(value), true);
  return request;
}

function unmapArgs(count: number, ...ranges: readonly number[]): Uint8Array {
  const request = new Uint8Array(4 + 8 * ranges.length);
  const view = new DataView(request.buffer);
  view.setUint32(0, count, true);
  for (const [i, value] of ranges.entries()) view.setBigUint64(4 + 8 * i, BigInt(value), true);
  return request;
}

test('pieces of files are mapped into a window, as far as it goes', () => {
  const path = mkdtempSync(joinPath(tmpdir(), 'crosvm-fuse-'));
  writeFileSync(joinPath(path, 'file'), 'text');
  const folder = openFolder(path);
  const window = new RecordingWindow();
  const options = { ...DEFAULT_FUSE_OPTIONS };
  const client = new FuseClient(directTransport(new FuseServer(folder, options, window)));
  const { flags } = client.init();
  assert.equal((flags >>> protocol.FUSE_MAP_ALIGNMENT) & 1, 1);
  const { nodeid } = client.lookup(ROOT, 'file');
  const map = (...numbers: Parameters<typeof mapArgs>) =>
    errorOf(client, protocol.FUSE_SETUPMAPPING, nodeid, mapArgs(...numbers));
  const unmap = (...numbers: Parameters<typeof unmapArgs>) =>
    errorOf(client, protocol.FUSE_REMOVEMAPPING, nodeid, unmapArgs(...numbers));
  assert.equal(map(0x3000, 0x2000, 2, 0x1000), 0);
  assert.equal(map(0, 0x1000, 3, 0xf000), 0);
  assert.equal(map(0, 0x1000, 2, 0x8000), -errno.ENOSPC);
  assert.deepEqual(window.calls.splice(0), [
    ['map', 0x3000, 0x1000, 0x2000, false],
    ['map', 0, 0xf000, 0x1000, true],
    ['map', 0, 0x8000, 0x1000, false],
  ]);
  for (const [fdOffset, length, offset] of [
    [0, 0, 0],
    [0, 0x1_1000, 0],
    [0, 0x1000, 0x1_0000],
    [0, 0x2000, 0xf000],
    [0, 0x800, 0],
    [0x10, 0x1000, 0],
    [0, 0x1000, 0x10],
    [2 ** 60, 0x1000, 0],
    [0, 2 ** 63, 0],
    [0, 0x1000, 2 ** 63],
  ] as const) {
    assert.equal(map(fdOffset, length, 2, offset), -errno.EINVAL);
  }
  assert.equal(errorOf(client, protocol.FUSE_SETUPMAPPING, 99, mapArgs(0, 0x1000, 2, 0)), -errno.ESTALE);
  assert.ok(errorOf(client, protocol.FUSE_SETUPMAPPING, ROOT, mapArgs(0, 0x1000, 2, 0))! < 0);
  assert.equal(unmap(2, 0x1000, 0x2000, 0xf000, 0x1000), 0);
  assert.equal(unmap(0), 0);
  assert.equal(unmap(3, 0, 0x1000), -errno.EINVAL);
  assert.equal(unmap(0xffff_ffff, 0, 0x1000), -errno.EINVAL);
  assert.equal(unmap(1, 0, 2 ** 63), -errno.EINVAL);
  assert.deepEqual(window.calls, [
    ['unmap', 0x1000, 0x2000],
    ['unmap', 0xf000, 0x1000],
  ]);
  folder.close();
  rmSync(path, { recursive: true });
});

test('nothing is mapped without a window, writable in a folder that is read-only, or of files in memory', () => {
  const request = mapArgs(0, 0x1000, 1, 0);
  const answer = (window: FileWindow | undefined, options: Partial<FuseOptions> = {}) => {
    const folder = new MemoryFolder();
    const client = new FuseClient(
      directTransport(new FuseServer(folder, { ...DEFAULT_FUSE_OPTIONS, ...options }, window)),
    );
    client.init();
    return errorOf(client, protocol.FUSE_SETUPMAPPING, ROOT, request);
  };
  assert.equal(answer(undefined), -errno.ENOSYS);
  assert.equal(answer(new RecordingWindow(), { readOnly: true }), -errno.EROFS);
  assert.equal(answer(new RecordingWindow()), -errno.EISDIR);
  const client = new FuseClient(
    directTransport(new FuseServer(new MemoryFolder(), DEFAULT_FUSE_OPTIONS, new RecordingWindow())),
  );
  client.init();
  const { node } = client.create(ROOT, 'file', O_RDWR, 0o644);
  assert.equal(errorOf(client, protocol.FUSE_SETUPMAPPING, node.nodeid, request), -errno.EOPNOTSUPP);
});
