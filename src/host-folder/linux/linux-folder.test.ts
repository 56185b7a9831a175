import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { bytesList } from '../../memory/bytes-list.ts';
import { DirectoryEntry, FileAttributes, FileEntry } from '../attributes.ts';
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, S_IFDIR, S_IFMT } from '../constants.ts';
import { EBADF, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, ESTALE } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { Name } from '../name.ts';
import type { LinuxFolder } from './linux-folder.ts';
import { openFolder } from './open-folder.ts';

let path: string;
let folder: LinuxFolder;
const entry = new FileEntry();
const attributes = new FileAttributes();

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'crosvm-folder-'));
  mkdirSync(join(path, 'share'));
  writeFileSync(join(path, 'secret'), 'secret');
  folder = openFolder(join(path, 'share'));
});

afterEach(() => {
  folder.close();
  rmSync(path, { recursive: true });
});

const inShare = (...names: string[]) => join(path, 'share', ...names);

function look(parent: number, name: string): number {
  const result = folder.lookup(parent, Name.of(name), entry);
  return result < 0 ? result : entry.inode;
}

function read(file: number, length = 100, offset = 0): string {
  const bytes = new Uint8Array(length);
  const n = folder.read(file, offset, bytesList(bytes));
  assert.ok(n >= 0, `read: ${n}`);
  return Buffer.from(bytes.subarray(0, n)).toString();
}

function names(inode: number): string[] {
  const file = folder.openDirectory(inode);
  const one = new DirectoryEntry();
  const all: string[] = [];
  while (folder.nextEntry(file, one.cookieLow, one.cookieHigh, one) === 1) all.push(one.name.toString());
  folder.release(file);
  return all.sort();
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test('a file is made, written, found and read', () => {
  const file = folder.create(ROOT_INODE, Name.of('a'), O_RDWR | O_CREAT, 0o640, entry);
  assert.ok(file > 0);
  assert.equal(folder.write(file, 2, bytesList(Buffer.from('hello'))), 5);
  assert.equal(read(file), '\0\0hello');
  assert.equal(folder.getAttributes(entry.inode, 0, attributes), 0);
  assert.equal(attributes.size, 7);
  assert.equal(attributes.mode & 0o777, 0o640);
  const first = entry.inode;
  assert.equal(look(ROOT_INODE, 'a'), first);
  folder.release(file);
  assert.equal(folder.read(file, 0, bytesList(new Uint8Array(1))), -EBADF);
  assert.equal(readFileSync(inShare('a'), 'latin1'), '\0\0hello');
});

test('names that are none are refused, and nothing leads out of the folder', () => {
  symlinkSync('../secret', inShare('link'));
  assert.equal(look(ROOT_INODE, '..'), -EINVAL);
  assert.equal(look(ROOT_INODE, '.'), -EINVAL);
  assert.equal(look(ROOT_INODE, ''), -ENOENT);
  assert.equal(look(ROOT_INODE, '../secret'), -EINVAL);
  assert.equal(look(ROOT_INODE, 'a\0b'), -EINVAL);
  assert.equal(look(ROOT_INODE, 'a'.repeat(256)), -ENAMETOOLONG);
  const link = look(ROOT_INODE, 'link');
  assert.ok(link > 0);
  assert.equal(folder.open(link, O_RDONLY), -ELOOP);
  assert.equal(folder.lookup(link, Name.of('x'), entry), -ENOTDIR);
  const target = { bytes: new Uint8Array(100), address: 0 };
  assert.equal(folder.readLink(link, target), 9);
  assert.equal(Buffer.from(target.bytes.subarray(0, 9)).toString(), '../secret');
  for (const inode of [0, -1, 77, 1e9, 2 ** 40, Number.NaN]) {
    assert.equal(folder.lookup(inode, Name.of('x'), entry), -ESTALE);
    assert.equal(folder.getAttributes(inode, 0, attributes), -ESTALE);
    folder.forget(inode, 1);
  }
});

test('a folder that the host swaps for a link to elsewhere does not lead there', () => {
  mkdirSync(inShare('sub'));
  writeFileSync(inShare('sub', 'file'), 'inside');
  mkdirSync(join(path, 'outside'));
  writeFileSync(join(path, 'outside', 'file'), 'outside');
  const sub = look(ROOT_INODE, 'sub');
  const file = look(sub, 'file');
  renameSync(inShare('sub'), inShare('moved'));
  symlinkSync('../outside', inShare('sub'));
  // `sub` is still the folder that was looked up, or it is stale; never the other one.
  const again = folder.lookup(sub, Name.of('file'), entry);
  if (again === 0) assert.equal(entry.inode, file);
  const opened = folder.open(file, O_RDONLY);
  if (opened > 0) assert.equal(read(opened), 'inside');
  else assert.equal(opened, -ESTALE);
  assert.equal(look(look(ROOT_INODE, 'sub'), 'file'), -ENOTDIR);
});

/** Makes `sub` a link to `../outside` and the folder again, as fast as it can. */
const SWAPPER = `
  const fs = require('node:fs');
  for (let i = 0; i < 10000; i++) {
    fs.renameSync('sub', 'moved');
    fs.symlinkSync('../outside', 'sub');
    fs.unlinkSync('sub');
    fs.renameSync('moved', 'sub');
  }
`;

test('a process that swaps a folder for a link ten thousand times gets no look-up outside', async () => {
  mkdirSync(inShare('sub'));
  writeFileSync(inShare('sub', 'file'), 'inside');
  mkdirSync(join(path, 'outside'));
  writeFileSync(join(path, 'outside', 'file'), 'outside');
  const child = spawn(process.execPath, ['-e', SWAPPER], { cwd: inShare(), stdio: 'ignore' });
  let isOver = false;
  child.once('exit', () => (isOver = true));
  const seen = new Map<string, number>();
  while (!isOver) {
    for (let i = 0; i < 100; i++) {
      const result = readThrough();
      seen.set(result, (seen.get(result) ?? 0) + 1);
    }
    await new Promise(setImmediate);
  }
  assert.equal(child.exitCode, 0);
  assert.ok(seen.has('inside'), [...seen.keys()].join());
  assert.ok(!seen.has('outside'));
  assert.ok(seen.size > 1, 'it was in the way');
});

/** What is in \`sub/file\`, all looked up anew; or what went wrong. */
function readThrough(): string {
  const sub = look(ROOT_INODE, 'sub');
  if (sub < 0) return `${sub}`;
  const inode = look(sub, 'file');
  const file = inode < 0 ? inode : folder.open(inode, O_RDONLY);
  const result = file < 0 ? `${file}` : read(file);
  if (file > 0) folder.release(file);
  if (inode > 0) folder.forget(inode, 1);
  folder.forget(sub, 1);
  return result;
}

test('entries are read with cookies, and an entry that did not fit is given again', () => {
  for (let i = 0; i < 500; i++) writeFileSync(inShare(`file with a rather long name ${i}`.repeat(3)), '');
  const file = folder.openDirectory(ROOT_INODE);
  const one = new DirectoryEntry();
  const seen: string[] = [];
  let [low, high] = [0, 0];
  while (folder.nextEntry(file, low, high, one) === 1) {
    const name = one.name.toString();
    if (seen.length % 7 === 3) {
      assert.equal(folder.nextEntry(file, low, high, one), 1);
      assert.equal(one.name.toString(), name);
    }
    seen.push(name);
    [low, high] = [one.cookieLow, one.cookieHigh];
    if (seen.length === 250) names(ROOT_INODE); // another reader has its turn
  }
  assert.equal(new Set(seen).size, 502);
  assert.equal(seen.length, 502);
  folder.release(file);
});

test('an inode is given back when it was forgotten as often as it was given, and not before', () => {
  mkdirSync(inShare('sub'));
  writeFileSync(inShare('sub', 'file'), 'x');
  const sub = look(ROOT_INODE, 'sub');
  const file = look(sub, 'file');
  look(sub, 'file');
  folder.forget(sub, 1000); // its file still needs it
  assert.equal(folder.getAttributes(file, 0, attributes), 0);
  folder.forget(file, 1);
  assert.equal(folder.getAttributes(file, 0, attributes), 0);
  folder.forget(file, 1);
  assert.equal(folder.getAttributes(file, 0, attributes), -ESTALE);
  assert.equal(folder.getAttributes(sub, 0, attributes), -ESTALE);
  folder.forget(ROOT_INODE, 1000);
  assert.equal(folder.getAttributes(ROOT_INODE, 0, attributes), 0);
  assert.equal(attributes.mode & S_IFMT, S_IFDIR);
});

test('descriptors stay few however many folders are used', () => {
  const before = openDescriptors();
  const inodes: number[] = [];
  for (let i = 0; i < 300; i++) {
    mkdirSync(inShare(`${i}`));
    writeFileSync(inShare(`${i}`, 'file'), `${i}`);
    inodes.push(look(look(ROOT_INODE, `${i}`), 'file'));
  }
  for (const [i, inode] of inodes.entries()) {
    const file = folder.open(inode, O_RDONLY);
    assert.equal(read(file), `${i}`);
    folder.release(file);
  }
  assert.ok(openDescriptors() - before < 220, `${openDescriptors() - before} descriptors`);
});

test('a chain of folders deeper than any path is walked back to', () => {
  const chain = [ROOT_INODE];
  for (let i = 0; i < 250; i++) {
    assert.equal(folder.makeDirectory(chain.at(-1)!, Name.of('d'.repeat(20)), 0o755, entry), 0);
    chain.push(entry.inode);
  }
  // Others take their descriptors.
  for (let i = 0; i < 220; i++) {
    folder.makeDirectory(ROOT_INODE, Name.of(`${i}`), 0o755, entry);
    names(entry.inode);
  }
  assert.deepEqual(names(chain.at(-1)!), ['.', '..']);
  assert.equal(folder.removeDirectory(chain.at(-2)!, Name.of('d'.repeat(20))), 0);
});

test('what was deleted can be used while it is open, and its number means nothing else', () => {
  const file = folder.create(ROOT_INODE, Name.of('a'), O_RDWR, 0o600, entry);
  const inode = entry.inode;
  assert.equal(folder.unlink(ROOT_INODE, Name.of('a')), 0);
  assert.equal(folder.write(file, 0, bytesList(Buffer.from('still'))), 5);
  assert.equal(folder.getAttributes(inode, 0, attributes), 0);
  assert.equal(attributes.links, 0);
  assert.equal(attributes.size, 5);
  for (let i = 0; i < 20; i++) {
    const other = folder.create(ROOT_INODE, Name.of(`b${i}`), O_RDWR, 0o600, entry);
    assert.notEqual(entry.inode, inode);
    folder.release(other);
  }
  folder.release(file);
});

test('a file with two names is one inode, also when the first name goes', () => {
  writeFileSync(inShare('one'), 'x');
  linkSync(inShare('one'), inShare('two'));
  const one = look(ROOT_INODE, 'one');
  assert.equal(look(ROOT_INODE, 'two'), one);
  assert.equal(folder.unlink(ROOT_INODE, Name.of('two')), 0);
  const file = folder.open(one, O_RDONLY);
  assert.equal(read(file), 'x');
  assert.equal(look(ROOT_INODE, 'one'), one);
  assert.equal(folder.link(one, ROOT_INODE, Name.of('three'), entry), 0);
  assert.equal(entry.inode, one);
  assert.equal(lstatSync(inShare('three')).nlink, 2);
});

test('what the host deletes is stale, and what it renames is found again', () => {
  writeFileSync(inShare('a'), 'a');
  writeFileSync(inShare('b'), 'b');
  const [a, b] = [look(ROOT_INODE, 'a'), look(ROOT_INODE, 'b')];
  unlinkSync(inShare('a'));
  assert.equal(folder.getAttributes(a, 0, attributes), -ESTALE);
  renameSync(inShare('b'), inShare('c'));
  assert.equal(folder.getAttributes(b, 0, attributes), -ESTALE);
  assert.equal(look(ROOT_INODE, 'c'), b);
  assert.equal(folder.getAttributes(b, 0, attributes), 0);
});

test('only regular files and folders are opened', () => {
  assert.equal(folder.makeNode(ROOT_INODE, Name.of('fifo'), 0o010644, 0, 0, entry), 0);
  assert.equal(folder.open(entry.inode, O_WRONLY), -ENXIO);
  assert.equal(folder.makeNode(ROOT_INODE, Name.of('socket'), 0o140644, 0, 0, entry), 0);
  assert.equal(folder.open(entry.inode, O_RDONLY), -ENXIO);
  assert.equal(folder.open(ROOT_INODE, O_RDONLY), -EISDIR);
});

test('windows into the kernel are no folders', () => {
  assert.throws(() => openFolder('/proc/self'), { code: 'E_FILE_OPEN', message: /window into the kernel/ });
  assert.throws(() => openFolder('/does/not/exist'), { code: 'E_FILE_OPEN' });
  assert.throws(() => openFolder(join(path, 'secret')), { code: 'E_FILE_OPEN', message: /not a folder/ });
  assert.ok(existsSync(path));
});

test('a client that begins anew reads nothing of the folders of the one before', () => {
  const next = new DirectoryEntry();
  const cookie = [0, 0] as [number, number];
  const readFirst = (name: string) => {
    assert.equal(folder.lookup(ROOT_INODE, Name.of(name), entry), 0);
    const file = folder.openDirectory(entry.inode);
    assert.equal(folder.nextEntry(file, ...cookie, next), 1);
    return entry.attributes.inoLow;
  };
  for (const name of ['one', 'other']) mkdirSync(join(path, 'share', name));
  readFirst('one');
  folder.reset();
  const inode = readFirst('other');
  assert.deepEqual([next.name.toString(), next.inoLow], ['.', inode]);
});
