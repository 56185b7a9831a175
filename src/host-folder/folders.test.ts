/**
 * The same random operations on a folder of the host, on one in memory, and by Node on another folder of the host: results,
 * errors and the trees that come of them are the same. CROSVM_TEST_FOLDER_STEPS and _SEED make it longer, or another one.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesList } from '../memory/bytes-list.ts';
import { AttributeChanges, DirectoryEntry, FileAttributes, FileEntry } from './attributes.ts';
import { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, RENAME_EXCHANGE, S_IFDIR, S_IFLNK, S_IFMT } from './constants.ts';
import { type Folder, ROOT_INODE } from './folder.ts';
import { openFolder } from './linux/open-folder.ts';
import { MemoryFolder } from './memory/memory-folder.ts';
import { Name } from './name.ts';

const STEPS = Number(process.env['CROSVM_TEST_FOLDER_STEPS'] ?? 2000);
const SEED = Number(process.env['CROSVM_TEST_FOLDER_SEED'] ?? 1);

/** An operation's arguments; paths are lists of names. */
type Path = readonly string[];
interface Operations {
  mkdir(path: Path, mode: number): unknown;
  rmdir(path: Path): unknown;
  create(path: Path, flags: number, mode: number): unknown;
  write(path: Path, offset: number, text: string): unknown;
  read(path: Path, offset: number, length: number): unknown;
  truncate(path: Path, size: number): unknown;
  unlink(path: Path): unknown;
  rename(path: Path, to: Path): unknown;
  link(path: Path, to: Path): unknown;
  symlink(path: Path, target: string): unknown;
  readlink(path: Path): unknown;
  chmod(path: Path, mode: number): unknown;
  utimes(path: Path, atime: number, mtime: number): unknown;
  stat(path: Path): unknown;
  list(path: Path): unknown;
}

class Failure {
  readonly errno: number;
  constructor(errno: number) {
    this.errno = errno;
  }
}

/** By inodes, as a file server does it. */
class FolderOperations implements Operations {
  readonly folder: Folder;
  readonly #entry = new FileEntry();

  constructor(folder: Folder) {
    this.folder = folder;
    folder.actAs(0, 0, 0);
  }

  mkdir(path: Path, mode: number) {
    return this.#at(path, (parent, name) => this.#given(this.folder.makeDirectory(parent, name, mode, this.#entry)));
  }
  rmdir(path: Path) {
    return this.#at(path, (parent, name) => this.folder.removeDirectory(parent, name));
  }
  create(path: Path, flags: number, mode: number) {
    return this.#at(path, (parent, name) => {
      const file = this.folder.create(parent, name, flags | O_RDWR | O_CREAT, mode, this.#entry);
      if (file < 0) return file;
      this.folder.release(file);
      return this.#given(0);
    });
  }
  write(path: Path, offset: number, text: string) {
    return this.#opened(path, O_RDWR, (file) => this.folder.write(file, offset, bytesList(Buffer.from(text))));
  }
  read(path: Path, offset: number, length: number) {
    const bytes = new Uint8Array(length);
    let n = 0;
    const result = this.#opened(path, O_RDONLY, (file) => (n = this.folder.read(file, offset, bytesList(bytes))));
    return result instanceof Failure ? result : Buffer.from(bytes.subarray(0, n)).toString('latin1');
  }
  truncate(path: Path, size: number) {
    const changes = new AttributeChanges();
    changes.size = size;
    return this.#on(path, (inode) => this.folder.setAttributes(inode, 0, changes, new FileAttributes()));
  }
  unlink(path: Path) {
    return this.#at(path, (parent, name) => this.folder.unlink(parent, name));
  }
  rename(path: Path, to: Path) {
    return this.#at(path, (parent, name) =>
      this.#raw(to, (newParent, newName) => this.folder.rename(parent, name, newParent, newName, 0)),
    );
  }
  link(path: Path, to: Path) {
    return this.#on(path, (inode) =>
      this.#raw(to, (parent, name) => this.#given(this.folder.link(inode, parent, name, this.#entry))),
    );
  }
  symlink(path: Path, target: string) {
    return this.#at(path, (parent, name) =>
      this.#given(this.folder.symlink(parent, name, Name.of(target), this.#entry)),
    );
  }
  readlink(path: Path) {
    const target = { bytes: new Uint8Array(4096), address: 0 };
    let n = 0;
    const result = this.#on(path, (inode) => (n = this.folder.readLink(inode, target)));
    return result instanceof Failure ? result : Buffer.from(target.bytes.subarray(0, n)).toString();
  }
  chmod(path: Path, mode: number) {
    const changes = new AttributeChanges();
    changes.mode = mode;
    return this.#on(path, (inode) => this.folder.setAttributes(inode, 0, changes, new FileAttributes()));
  }
  utimes(path: Path, atime: number, mtime: number) {
    const changes = new AttributeChanges();
    changes.atime = atime;
    changes.mtime = mtime;
    return this.#on(path, (inode) => this.folder.setAttributes(inode, 0, changes, new FileAttributes()));
  }
  stat(path: Path) {
    const attributes = new FileAttributes();
    const result = this.#on(path, (inode) => this.folder.getAttributes(inode, 0, attributes));
    if (result instanceof Failure) return result;
    const { mode, links, size, mtime } = attributes;
    return { mode, links, ...((mode & S_IFMT) === S_IFDIR ? {} : { size, mtime: Math.min(mtime, 1e9) }) };
  }
  list(path: Path) {
    const names: string[] = [];
    const result = this.#on(path, (inode) => {
      const file = this.folder.openDirectory(inode);
      if (file < 0) return file;
      const entry = new DirectoryEntry();
      while (this.folder.nextEntry(file, entry.cookieLow, entry.cookieHigh, entry) === 1) {
        names.push(`${entry.name} ${entry.type}`);
      }
      this.folder.release(file);
      return 0;
    });
    return result instanceof Failure ? result : names.filter((name) => !name.startsWith('.')).sort();
  }

  /** What was made is given back at once. */
  #given(result: number): number {
    if (result === 0) this.folder.forget(this.#entry.inode, 1);
    return result;
  }

  #opened(path: Path, flags: number, act: (file: number) => number): unknown {
    return this.#on(path, (inode) => {
      const file = this.folder.open(inode, flags);
      if (file < 0) return file;
      const result = act(file);
      this.folder.release(file);
      return result;
    });
  }

  #at(path: Path, act: (parent: number, name: Name) => number): unknown {
    return resultOf(this.#raw(path, act));
  }

  #on(path: Path, act: (inode: number) => number): unknown {
    return resultOf(this.#withInode(path, act));
  }

  #raw(path: Path, act: (parent: number, name: Name) => number): number {
    return this.#withInode(path.slice(0, -1), (parent) => {
      // Both folders of a rename are looked up before anything else is looked at.
      const attributes = new FileAttributes();
      this.folder.getAttributes(parent, 0, attributes);
      const isFolder = (attributes.mode & S_IFMT) === S_IFDIR;
      return isFolder ? act(parent, Name.of(path.at(-1)!)) : -constants.errno.ENOTDIR;
    });
  }

  #withInode(path: Path, act: (inode: number) => number): number {
    let inode = ROOT_INODE;
    const held: number[] = [];
    let result = 0;
    for (const name of path) {
      result = this.folder.lookup(inode, Name.of(name), this.#entry);
      if (result < 0) break;
      inode = this.#entry.inode;
      held.push(inode);
    }
    if (result === 0) result = act(inode);
    for (const one of held.reverse()) this.folder.forget(one, 1);
    return result;
  }
}

function resultOf(result: number): unknown {
  return result < 0 ? new Failure(-result) : result;
}

/** By paths, as any program does it. */
class NodeOperations implements Operations {
  readonly #root: string;
  constructor(root: string) {
    this.#root = root;
  }

  mkdir(path: Path, mode: number) {
    return this.#do(path, (at) => fs.mkdirSync(at, mode));
  }
  rmdir(path: Path) {
    return this.#do(path, (at) => fs.rmdirSync(at));
  }
  create(path: Path, flags: number, mode: number) {
    return this.#do(path, (at) =>
      fs.closeSync(fs.openSync(at, flags | O_RDWR | O_CREAT | fs.constants.O_NOFOLLOW, mode)),
    );
  }
  write(path: Path, offset: number, text: string) {
    return this.#opened(path, fs.constants.O_RDWR, (fd) => fs.writeSync(fd, text, offset));
  }
  read(path: Path, offset: number, length: number) {
    return this.#opened(path, fs.constants.O_RDONLY, (fd) => {
      if (fs.fstatSync(fd).isDirectory()) throw Object.assign(new Error(), { errno: -constants.errno.EISDIR });
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, fs.readSync(fd, bytes, 0, length, offset)).toString('latin1');
    });
  }
  truncate(path: Path, size: number) {
    return this.#do(path, (at) => {
      if (fs.lstatSync(at).isSymbolicLink()) throw Object.assign(new Error(), { errno: -constants.errno.EINVAL });
      fs.truncateSync(at, size);
    });
  }
  unlink(path: Path) {
    return this.#do(path, (at) => fs.unlinkSync(at));
  }
  rename(path: Path, to: Path) {
    return this.#do(path, (at) => this.#do(to, (newPlace) => fs.renameSync(at, newPlace)));
  }
  link(path: Path, to: Path) {
    return this.#do(path, (at) => {
      fs.lstatSync(at);
      return this.#do(to, (newPlace) => fs.linkSync(at, newPlace));
    });
  }
  symlink(path: Path, target: string) {
    return this.#do(path, (at) => fs.symlinkSync(target, at));
  }
  readlink(path: Path) {
    return this.#do(path, (at) => fs.readlinkSync(at));
  }
  chmod(path: Path, mode: number) {
    return this.#do(path, (at) => {
      if (fs.lstatSync(at).isSymbolicLink()) throw Object.assign(new Error(), { errno: -constants.errno.EOPNOTSUPP });
      fs.chmodSync(at, mode);
    });
  }
  utimes(path: Path, atime: number, mtime: number) {
    return this.#do(path, (at) => fs.lutimesSync(at, atime, mtime));
  }
  stat(path: Path) {
    return this.#do(path, (at) => {
      const { mode, nlink: links, size, mtimeMs } = fs.lstatSync(at);
      const isFolder = (mode & S_IFMT) === S_IFDIR;
      return { mode, links, ...(isFolder ? {} : { size, mtime: Math.min(Math.floor(mtimeMs / 1000), 1e9) }) };
    });
  }
  list(path: Path) {
    return this.#do(path, (at) => {
      if (path.length > 0 && fs.lstatSync(at).isSymbolicLink())
        throw Object.assign(new Error(), { errno: -constants.errno.ENOTDIR });
      return fs
        .readdirSync(at)
        .map((name) => `${name} ${(fs.lstatSync(join(at, name)).mode & S_IFMT) >> 12}`)
        .sort();
    });
  }

  #opened(path: Path, flags: number, act: (fd: number) => unknown): unknown {
    return this.#do(path, (at) => {
      const fd = fs.openSync(at, flags | fs.constants.O_NOFOLLOW);
      try {
        return act(fd);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  /** Links in the middle of a path are what a guest follows by itself; to a folder they are no folders. */
  #do(path: Path, act: (at: string) => unknown): unknown {
    try {
      for (let i = 1; i < path.length; i++) {
        const stat = fs.lstatSync(join(this.#root, ...path.slice(0, i)));
        if (!stat.isDirectory()) return new Failure(constants.errno.ENOTDIR);
      }
      return act(join(this.#root, ...path)) ?? 0;
    } catch (error) {
      return new Failure(-(error as { errno: number }).errno);
    }
  }
}

/** A small generator with a seed. */
function randomFrom(seed: number): (n: number) => number {
  let state = (seed * 2654435761) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const NAMES = ['a', 'b', 'c', 'd', 'e f', 'ü'];

function step(random: (n: number) => number): readonly [keyof Operations, ...unknown[]] {
  const path = () => Array.from({ length: 1 + random(3) }, () => NAMES[random(NAMES.length)]!);
  const mode = () => [0o600, 0o644, 0o755, 0o4755, 0o1777, 0o2711][random(6)]!;
  const choices: readonly (() => readonly [keyof Operations, ...unknown[]])[] = [
    () => ['mkdir', path(), mode()],
    () => ['mkdir', path(), mode()],
    () => ['rmdir', path()],
    () => ['create', path(), [0, O_EXCL, O_TRUNC][random(3)], mode()],
    () => ['create', path(), 0, mode()],
    () => ['write', path(), random(40_000), 'x'.repeat(random(20_000))],
    () => ['read', path(), random(40_000), random(20_000)],
    () => ['truncate', path(), random(50_000)],
    () => ['unlink', path()],
    () => ['rename', path(), path()],
    () => ['rename', path(), path()],
    () => ['link', path(), path()],
    () => ['symlink', path(), path().join('/')],
    () => ['readlink', path()],
    () => ['chmod', path(), mode()],
    () => ['utimes', path(), random(1e9), random(1e9)],
    () => ['stat', path()],
    () => ['list', path()],
  ];
  return choices[random(choices.length)]!();
}

/** All that there is, by what the operations say. */
function tree(operations: Operations, path: Path = []): unknown {
  const names = operations.list(path) as string[];
  return names.map((line) => {
    const [, name, type] = /^(.*) (\d+)$/.exec(line)!;
    const at = [...path, name!];
    if (Number(type) === S_IFDIR >> 12) return [name, operations.stat(at), tree(operations, at)];
    if (Number(type) === S_IFLNK >> 12) return [name, operations.stat(at), operations.readlink(at)];
    return [name, operations.stat(at), operations.read(at, 0, 100_000)];
  });
}

test(`${STEPS} random operations have the same results on all folders`, () => {
  const umask = process.umask(0);
  const folder = fs.mkdtempSync(join(fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'crosvm-folders-'));
  try {
    for (const name of ['linux', 'node']) fs.mkdirSync(join(folder, name), 0o755);
    const truth = new NodeOperations(join(folder, 'node'));
    const folders = {
      linux: new FolderOperations(openFolder(join(folder, 'linux'))),
      memory: new FolderOperations(new MemoryFolder()),
    };
    const random = randomFrom(SEED);
    const outcomes = new Map<string, number>();
    for (let i = 0; i < STEPS; i++) {
      const [name, ...args] = step(random);
      const call = (operations: Operations) => (operations[name] as (...args: unknown[]) => unknown)(...args);
      const expected = call(truth);
      const outcome = `${name} ${expected instanceof Failure ? expected.errno : 'done'}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      for (const [which, operations] of Object.entries(folders)) {
        const what = `step ${i} of seed ${SEED} on ${which}: ${name} ${JSON.stringify(args).slice(0, 200)}`;
        assert.deepEqual(call(operations), expected, what);
      }
    }
    for (const operations of Object.values(folders)) assert.deepEqual(tree(operations), tree(truth));
    // The sequence is worth something.
    assert.ok(outcomes.size > 40, `${outcomes.size} kinds of outcomes`);
    for (const { folder: one } of Object.values(folders)) one.close();
  } finally {
    process.umask(umask);
    fs.rmSync(folder, { recursive: true });
  }
});

test('two names change places', () => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'crosvm-exchange-'));
  for (const one of [openFolder(folder), new MemoryFolder()]) {
    const operations = new FolderOperations(one);
    operations.mkdir(['d'], 0o755);
    operations.create(['d', 'a'], 0, 0o600);
    operations.create(['b'], 0, 0o640);
    const entry = new FileEntry();
    one.lookup(ROOT_INODE, Name.of('d'), entry);
    assert.equal(one.rename(entry.inode, Name.of('a'), ROOT_INODE, Name.of('b'), RENAME_EXCHANGE), 0);
    assert.equal((operations.stat(['b']) as { mode: number }).mode & 0o777, 0o600);
    assert.equal((operations.stat(['d', 'a']) as { mode: number }).mode & 0o777, 0o640);
    assert.ok(one.rename(entry.inode, Name.of('x'), ROOT_INODE, Name.of('b'), RENAME_EXCHANGE) < 0);
    one.close();
  }
  fs.rmSync(folder, { recursive: true });
});
