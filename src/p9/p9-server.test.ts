import assert from 'node:assert/strict';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { F_RDLCK, F_UNLCK, F_WRLCK, O_RDONLY, O_RDWR, O_WRONLY, XATTR_REPLACE } from '../host-folder/constants.ts';
import {
  EBADF,
  EEXIST,
  EISDIR,
  ELOOP,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EROFS,
  ESTALE,
} from '../host-folder/errno.ts';
import { openFolder } from '../host-folder/linux/open-folder.ts';
import { DEFAULT_P9_OPTIONS, type P9Options } from './p9-options.ts';
import { P9Server } from './p9-server.ts';
import * as protocol from './protocol.ts';
import { b, d, directTransport, P9Client, q, w } from './testing/p9-client.ts';

const ROOT = 0;

let path: string;
let server: P9Server;
let client: P9Client;

function serve(options: Partial<P9Options> = {}): void {
  server = new P9Server(openFolder(path), { ...DEFAULT_P9_OPTIONS, ...options });
  client = new P9Client(directTransport(server));
  client.start(ROOT, process.geteuid!());
}

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'crosvm-p9-'));
  serve();
});

afterEach(() => {
  server.close();
  rmSync(path, { recursive: true });
});

const inShare = (...names: string[]) => join(path, ...names);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** Makes a file through the server, open as `fid`. */
function create(fid: number, name: string, content = ''): void {
  client.walk(ROOT, fid);
  client.create(fid, name, O_RDWR);
  client.write(fid, 0, Buffer.from(content));
}

test('version: the size is agreed on, other dialects are unknown, and all fids are gone', () => {
  const agreed = client.ask(protocol.Tversion, d(2 ** 32 - 1), '9P2000.L');
  assert.deepEqual([agreed.u32(), agreed.text()], [protocol.MAX_MSIZE, '9P2000.L']);
  assert.equal(client.errno(protocol.Tgetattr, d(ROOT), q(0)), EBADF);
  const unknown = client.ask(protocol.Tversion, d(8192), '9P2000.u');
  assert.deepEqual([unknown.u32(), unknown.text()], [8192, 'unknown']);
  assert.notEqual(client.errno(protocol.Tattach, d(ROOT), d(protocol.NOFID), '', '', d(0)), 0);
});

test('a file is made, written, found, read and removed', () => {
  create(1, 'a', 'hello');
  assert.equal(text(client.read(1)), 'hello');
  assert.equal(text(client.read(1, 3)), 'lo');
  const [qid] = client.walk(ROOT, 2, 'a');
  assert.equal(qid!.type, protocol.QTFILE);
  assert.deepEqual(client.attributes(2).qid, qid);
  assert.equal(client.attributes(2).size, 5);
  assert.equal(readFileSync(inShare('a'), 'utf8'), 'hello');
  client.ask(protocol.Tunlinkat, d(ROOT), 'a', d(0));
  assert.equal(client.attributes(1).links, 0);
  assert.equal(text(client.read(1)), 'hello');
  client.clunk(1);
  assert.equal(client.errno(protocol.Tclunk, d(1)), EBADF);
  assert.ok(!existsSync(inShare('a')));
});

test('walks go as far as names lead, up to the root and no further', () => {
  mkdirSync(inShare('x', 'y'), { recursive: true });
  writeFileSync(inShare('x', 'y', 'z'), 'z');
  const inode = (...names: string[]) => statSync(inShare(...names)).ino;
  const paths = (...names: string[]) => {
    const qids = client.walk(ROOT, 1, ...names);
    if (qids.length === names.length) client.clunk(1);
    return qids.map((qid) => qid.path);
  };
  assert.deepEqual(paths('x', 'y', 'z'), [inode('x'), inode('x', 'y'), inode('x', 'y', 'z')]);
  assert.deepEqual(paths('x', 'nothing', 'z'), [inode('x')]);
  assert.deepEqual(paths('x', '..', 'x', 'y', '..', '..', '..'), [
    inode('x'),
    inode(),
    inode('x'),
    inode('x', 'y'),
    inode('x'),
    inode(),
    inode(),
  ]);
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(1), w(1), 'nothing'), ENOENT);
  assert.equal(client.errno(protocol.Tclunk, d(1)), EBADF);
  client.walk(ROOT, 1, 'x', 'y', 'z');
  assert.equal(client.errno(protocol.Twalk, d(1), d(2), w(1), 'more'), ENOTDIR);
});

test('a folder is read in pieces of any size, each entry once', () => {
  mkdirSync(inShare('many'));
  for (let i = 0; i < 300; i++) writeFileSync(inShare('many', `file ${i}`), '');
  client.walk(ROOT, 1, 'many');
  client.open(1, O_RDONLY);
  const expected = ['.', '..', ...readdirSync(inShare('many'))].sort();
  for (const count of [64, 100, 1000, 8192, 1e6]) assert.deepEqual(client.names(1, count).sort(), expected);
  assert.equal(client.errno(protocol.Tread, d(1), q(0), d(100)), EISDIR);
});

test('folders, links and nodes are made, with what they are', () => {
  const made = client.ask(protocol.Tmkdir, d(ROOT), 'd', d(0o750), d(process.getegid!())).qid();
  assert.deepEqual([made.type, made.path], [protocol.QTDIR, statSync(inShare('d')).ino]);
  assert.equal(statSync(inShare('d')).mode & 0o777, 0o750);
  assert.equal(client.errno(protocol.Tmkdir, d(ROOT), 'd', d(0o750), d(0)), EEXIST);
  const link = client.ask(protocol.Tsymlink, d(ROOT), 's', '../../etc/passwd', d(0)).qid();
  assert.equal(link.type, protocol.QTSYMLINK);
  assert.equal(readlinkSync(inShare('s')), '../../etc/passwd');
  client.walk(ROOT, 1, 's');
  assert.equal(client.ask(protocol.Treadlink, d(1)).text(), '../../etc/passwd');
  assert.equal(client.errno(protocol.Tlopen, d(1), d(O_RDONLY)), ELOOP);
  assert.equal(client.errno(protocol.Twalk, d(1), d(2), w(1), 'x'), ENOTDIR);
  client.ask(protocol.Tmknod, d(ROOT), 'fifo', d(0o010600), d(0), d(0), d(0));
  assert.ok(lstatSync(inShare('fifo')).isFIFO());
  create(3, 'file', 'x');
  client.ask(protocol.Tlink, d(ROOT), d(3), 'other name');
  assert.equal(statSync(inShare('other name')).ino, statSync(inShare('file')).ino);
  client.ask(protocol.Tunlinkat, d(ROOT), 'd', d(protocol.AT_REMOVEDIR));
  assert.ok(!existsSync(inShare('d')));
});

test('what is renamed is found by its new name, also by fids in it', () => {
  mkdirSync(inShare('a', 'b'), { recursive: true });
  mkdirSync(inShare('c'));
  writeFileSync(inShare('a', 'b', 'file'), 'x');
  client.walk(ROOT, 1, 'a', 'b');
  client.walk(1, 2, 'file');
  client.walk(ROOT, 3, 'c');
  client.walk(ROOT, 4, 'a');
  client.ask(protocol.Trenameat, d(4), 'b', d(3), 'moved');
  assert.equal(client.walk(1, 5, '..')[0]!.path, statSync(inShare('c')).ino);
  client.ask(protocol.Trename, d(2), d(ROOT), 'top');
  assert.equal(readFileSync(inShare('top'), 'utf8'), 'x');
  client.ask(protocol.Trename, d(1), d(ROOT), 'b again');
  client.ask(protocol.Tremove, d(2));
  assert.deepEqual(readdirSync(path).sort(), ['a', 'b again', 'c']);
  assert.equal(client.errno(protocol.Tclunk, d(2)), EBADF);
});

test('remove and rename of a name that the host has given to another file do not touch that one', () => {
  writeFileSync(inShare('mine'), '');
  client.walk(ROOT, 1, 'mine');
  client.walk(ROOT, 2, 'mine');
  renameSync(inShare('mine'), inShare('kept'));
  writeFileSync(inShare('mine'), 'another');
  assert.equal(client.errno(protocol.Tremove, d(1)), ESTALE);
  assert.equal(client.errno(protocol.Trename, d(2), d(ROOT), 'x'), ESTALE);
  assert.equal(readFileSync(inShare('mine'), 'utf8'), 'another');
});

test('what was removed is not removed or renamed again by another fid', () => {
  create(1, 'a');
  client.walk(ROOT, 2, 'a');
  client.walk(ROOT, 3, 'a');
  client.ask(protocol.Tremove, d(1));
  create(4, 'a', 'another');
  assert.equal(client.errno(protocol.Tremove, d(2)), ESTALE);
  assert.equal(client.errno(protocol.Trename, d(3), d(ROOT), 'b'), ESTALE);
  assert.equal(readFileSync(inShare('a'), 'utf8'), 'another');
});

test('remove takes a fid away even if it fails', () => {
  mkdirSync(inShare('full', 'x'), { recursive: true });
  client.walk(ROOT, 1, 'full');
  assert.equal(client.errno(protocol.Tremove, d(1)), ENOTEMPTY);
  assert.equal(client.errno(protocol.Tclunk, d(1)), EBADF);
});

test('attributes are set, and only those that are named', () => {
  create(1, 'a', '0123456789');
  const set = (valid: number, mode = 0, size = 0, atime = 0, mtime = 0, ns = 0) =>
    client.errno(
      protocol.Tsetattr,
      ...[d(1), d(valid), d(mode), d(77), d(77), q(size), q(atime), q(ns), q(mtime), q(ns)],
    );
  assert.equal(set(protocol.P9_SETATTR_MODE | protocol.P9_SETATTR_SIZE, 0o604, 4), 0);
  let now = statSync(inShare('a'));
  assert.deepEqual([now.mode & 0o777, now.size, now.uid], [0o604, 4, process.geteuid!()]);
  const times = protocol.P9_SETATTR_MTIME | protocol.P9_SETATTR_MTIME_SET;
  assert.equal(set(times, 0, 0, 0, 1234, 5_000_000), 0);
  assert.equal(statSync(inShare('a')).mtimeMs, 1_234_005);
  assert.equal(client.attributes(1).mtime, 1234);
  assert.equal(set(protocol.P9_SETATTR_MTIME), 0);
  assert.ok(Date.now() - statSync(inShare('a')).mtimeMs < 60_000);
  assert.notEqual(set(times, 0, 0, 0, 1234, 2e9), 0);
  now = statSync(inShare('a'));
  client.walk(ROOT, 2, 'a');
  client.open(2, O_RDONLY);
  client.ask(protocol.Tsetattr, d(2), d(protocol.P9_SETATTR_SIZE), d(0), d(0), d(0), q(1), q(0), q(0), q(0), q(0));
  assert.equal(statSync(inShare('a')).size, 1);
});

test('the version of a qid changes with the file, its path does not', () => {
  create(1, 'a', 'x');
  const before = client.attributes(1).qid;
  client.write(1, 0, Buffer.from('longer'));
  const after = client.attributes(1).qid;
  assert.equal(after.path, before.path);
  assert.notEqual(after.version, before.version);
});

test('extended attributes are written, read, listed and removed', () => {
  create(1, 'a');
  client.clunk(1);
  const setExtended = (name: string, value: string, flags = 0) => {
    client.walk(ROOT, 2, 'a');
    client.ask(protocol.Txattrcreate, d(2), name, q(value.length), d(flags));
    if (value !== '') client.write(2, 0, Buffer.from(value));
    return client.errno(protocol.Tclunk, d(2));
  };
  const getExtended = (name: string) => {
    client.walk(ROOT, 2, 'a');
    const answer = client.call(protocol.Txattrwalk, d(2), d(3), name);
    client.clunk(2);
    if (answer.error !== 0) return answer.error;
    const value = text(client.read(3, 0, answer.u64()));
    client.clunk(3);
    return value;
  };
  assert.equal(setExtended('user.one', 'first'), 0);
  assert.equal(setExtended('user.empty', ''), 0);
  assert.equal(getExtended('user.one'), 'first');
  assert.equal(getExtended('user.empty'), '');
  assert.equal(getExtended('user.none'), ENODATA);
  assert.deepEqual(
    String(getExtended(''))
      .split('\0')
      .filter((name) => name.startsWith('user.'))
      .sort(),
    ['user.empty', 'user.one'],
  );
  assert.equal(setExtended('user.one', '', XATTR_REPLACE), 0);
  assert.equal(getExtended('user.one'), ENODATA);
  assert.equal(setExtended('user.two', 'x', XATTR_REPLACE), ENODATA);
});

test('a lock that another process has is blocked, named, and free when its fid is clunked', () => {
  create(1, 'a', 'x');
  client.walk(ROOT, 2, 'a');
  client.open(2, O_RDWR);
  const lock = (fid: number, type: number, process: number, start = 0, length = 0) =>
    client.ask(protocol.Tlock, d(fid), b(type), d(1), q(start), q(length), d(process), 'host').u8();
  const test = (fid: number, process: number) => {
    const answer = client.ask(protocol.Tgetlock, d(fid), b(F_WRLCK), q(0), q(0), d(process), 'host');
    return [answer.u8(), answer.u64(), answer.u64()];
  };
  assert.equal(lock(1, F_WRLCK, 100, 5, 10), protocol.P9_LOCK_SUCCESS);
  assert.equal(lock(2, F_RDLCK, 200), protocol.P9_LOCK_BLOCKED);
  assert.equal(lock(2, F_RDLCK, 200, 15), protocol.P9_LOCK_SUCCESS);
  assert.deepEqual(test(2, 200), [F_WRLCK, 5, 10]);
  assert.deepEqual(test(1, 100), [F_RDLCK, 15, 0]);
  assert.equal(lock(1, F_WRLCK, 100, 15, 1), protocol.P9_LOCK_BLOCKED);
  client.clunk(1);
  assert.equal(lock(2, F_WRLCK, 200), protocol.P9_LOCK_SUCCESS);
  assert.equal(lock(2, F_UNLCK, 200), protocol.P9_LOCK_SUCCESS);
  assert.equal(test(2, 300)[0], F_UNLCK);
});

test('a folder that is only to be read is', () => {
  create(1, 'a', 'x');
  server.close();
  serve({ readOnly: true });
  client.walk(ROOT, 1, 'a');
  client.walk(ROOT, 2);
  assert.equal(client.errno(protocol.Tlopen, d(1), d(O_WRONLY)), EROFS);
  assert.equal(client.errno(protocol.Tlcreate, d(2), 'b', d(O_RDONLY), d(0o644), d(0)), EROFS);
  assert.equal(client.errno(protocol.Tunlinkat, d(ROOT), 'a', d(0)), EROFS);
  assert.equal(client.errno(protocol.Txattrcreate, d(2), 'user.x', q(1), d(0)), EROFS);
  client.open(1, O_RDONLY);
  assert.equal(text(client.read(1)), 'x');
  client.walk(ROOT, 3, 'a');
  assert.equal(client.errno(protocol.Tremove, d(3)), EROFS);
  assert.deepEqual(readdirSync(path), ['a']);
});

test('names are found in any case if that is wanted', () => {
  mkdirSync(inShare('Dir'));
  writeFileSync(inShare('Dir', 'File'), 'x');
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(1), w(1), 'dir'), ENOENT);
  server.close();
  serve({ asciiCasefold: true });
  assert.equal(client.walk(ROOT, 1, 'dIR', 'fILE').length, 2);
  client.ask(protocol.Tremove, d(1));
  client.ask(protocol.Tunlinkat, d(ROOT), 'DIR', d(protocol.AT_REMOVEDIR));
  assert.deepEqual(readdirSync(path), []);
});

test('statistics of the file system, fsync and flush are answered', () => {
  create(1, 'a', 'x');
  client.ask(protocol.Tfsync, d(1), d(1));
  client.ask(protocol.Tflush, w(5));
  const answer = client.ask(protocol.Tstatfs, d(ROOT));
  const [, blockSize, blocks] = [answer.u32(), answer.u32(), answer.u64()];
  assert.ok(blockSize >= 512 && blocks > 0);
  answer.bytes(5 * 8);
  assert.equal(answer.u32(), 255);
  assert.equal(answer.left, 0);
});

test('a file with two names is one, and removing one leaves the other', () => {
  writeFileSync(inShare('one'), 'x');
  linkSync(inShare('one'), inShare('two'));
  const [one] = client.walk(ROOT, 1, 'one');
  const [two] = client.walk(ROOT, 2, 'two');
  assert.deepEqual(one, two);
  client.ask(protocol.Tremove, d(2));
  client.open(1, O_RDONLY);
  assert.equal(text(client.read(1)), 'x');
});

test('a link on the host is never followed', () => {
  symlinkSync('/etc', inShare('out'));
  client.walk(ROOT, 1, 'out');
  assert.equal(client.errno(protocol.Twalk, d(1), d(2), w(1), 'passwd'), ENOTDIR);
  assert.equal(client.walk(ROOT, 2, 'out', 'passwd').length, 1);
  assert.equal(client.errno(protocol.Tlopen, d(1), d(O_RDONLY)), ELOOP);
});
