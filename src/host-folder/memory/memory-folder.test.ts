/** What is special about folders in memory; folders.test.ts compares them with those of the host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DirectoryEntry, FileEntry, FolderStatistics, RecordLock } from '../attributes.ts';
import { F_WRLCK, O_RDWR, SEEK_DATA, SEEK_HOLE } from '../constants.ts';
import { ENFILE, ENOLCK, ENOSPC, ENXIO } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { Name } from '../name.ts';
import { MemoryFolder } from './memory-folder.ts';

const CAPACITY = 1 << 20;
/** Far more than there can be. */
const MANY = 10_000;
const entry = new FileEntry();

function makeFile(folder: MemoryFolder, name: string): number {
  assert.equal(folder.makeNode(ROOT_INODE, Name.of(name), 0o644, 0, 0, entry), 0);
  return entry.inode;
}

function makeFiles(folder: MemoryFolder, count: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `file-${i}`);
  for (const name of names) folder.forget(makeFile(folder, name), 1);
  return names;
}

/** Does something again and again until it fails; how often it went well, and the errno. */
function untilRefused(act: (i: number) => number): [count: number, errno: number] {
  for (let i = 0; i < MANY; i++) {
    const result = act(i);
    if (result < 0) return [i, -result];
  }
  return [MANY, 0];
}

const ways: Readonly<Record<string, (folder: MemoryFolder, file: number, i: number) => number>> = {
  files: (folder, _, i) => folder.makeNode(ROOT_INODE, Name.of(`${i}`), 0o644, 0, 0, entry),
  folders: (folder, _, i) => folder.makeDirectory(ROOT_INODE, Name.of(`${i}`), 0o755, entry),
  links: (folder, file, i) => folder.link(file, ROOT_INODE, Name.of(`${i}`), entry),
  targets: (folder, _, i) => folder.symlink(ROOT_INODE, Name.of(`${i}`), Name.of('t'.repeat(4000)), entry),
  'files without names': (folder) => folder.createUnnamed(ROOT_INODE, O_RDWR, 0o644, entry),
  attributes: (folder, file, i) => folder.setExtended(file, Name.of(`user.${i}`), Name.of('v'.repeat(500)), 0),
  'large attributes': (folder, file, i) =>
    folder.setExtended(file, Name.of(`user.${i}`), Name.of('v'.repeat(60_000)), 0),
};

for (const [what, make] of Object.entries(ways)) {
  test(`${what} take of the capacity, and give it back`, () => {
    const folder = new MemoryFolder(CAPACITY);
    const free = () => {
      const statistics = new FolderStatistics();
      folder.statistics(ROOT_INODE, statistics);
      return statistics.freeFiles;
    };
    const before = free();
    const file = makeFile(folder, 'file');
    const [count, reason] = untilRefused((i) => make(folder, file, i));
    assert.equal(reason, ENOSPC);
    assert.ok(count > 0 && free() < 50, `${count} were made, ${free()} are left`);
    for (let i = 0; i < count; i++) {
      folder.unlink(ROOT_INODE, Name.of(`${i}`));
      folder.removeDirectory(ROOT_INODE, Name.of(`${i}`));
    }
    folder.unlink(ROOT_INODE, Name.of('file'));
    folder.reset();
    assert.equal(free(), before);
  });
}

test('open files and locks are bounded', () => {
  const folder = new MemoryFolder();
  const inode = makeFile(folder, 'file');
  const file = folder.open(inode, O_RDWR);
  const lock = Object.assign(new RecordLock(), { type: F_WRLCK });
  assert.deepEqual(
    untilRefused((i) => {
      lock.start = lock.end = BigInt(2 * i);
      return folder.setLock(file, 1n, lock);
    }),
    [4096, ENOLCK],
  );
  for (let i = 1; i < 65536; i++) folder.open(inode, O_RDWR);
  assert.equal(folder.open(inode, O_RDWR), -ENFILE);
  assert.equal(folder.openDirectory(ROOT_INODE), -ENFILE);
  assert.equal(folder.create(ROOT_INODE, Name.of('other'), O_RDWR, 0o644, entry), -ENFILE);
  assert.equal(folder.lookup(ROOT_INODE, Name.of('other'), entry) < 0, true, 'nothing was made');
});

test('to look for data in a file of all bytes that there can be takes no time', () => {
  const folder = new MemoryFolder();
  const inode = makeFile(folder, 'file');
  const file = folder.open(inode, O_RDWR);
  const size = Number.MAX_SAFE_INTEGER;
  assert.equal(folder.allocate(file, 0, 0, size), 0);
  assert.deepEqual([folder.seek(file, 5, SEEK_DATA), folder.seek(file, 5, SEEK_HOLE)], [-ENXIO, 5]);
});

test('what is there all the time is listed once, whatever else is made and removed meanwhile', () => {
  const folder = new MemoryFolder();
  const names = makeFiles(folder, 300);
  const file = folder.openDirectory(ROOT_INODE);
  const next = new DirectoryEntry();
  const listed: string[] = [];
  for (let i = 0, [low, high] = [0, 0]; folder.nextEntry(file, low, high, next) === 1; i++) {
    const name = next.name.toString();
    // Asked for again, as by a client for which there was no room.
    assert.equal(folder.nextEntry(file, low, high, next), 1);
    assert.equal(next.name.toString(), name);
    listed.push(name);
    [low, high] = [next.cookieLow, next.cookieHigh];
    if (i % 3 === 2) folder.unlink(ROOT_INODE, Name.of(name));
    if (i === 100) makeFile(folder, 'later');
  }
  assert.deepEqual(listed, ['.', '..', ...names, 'later']);
});

test('a place in a folder is found again, by another who has it open', () => {
  const folder = new MemoryFolder();
  makeFiles(folder, 10);
  const next = new DirectoryEntry();
  const [one, other] = [folder.openDirectory(ROOT_INODE), folder.openDirectory(ROOT_INODE)];
  const cookies: number[] = [0];
  while (folder.nextEntry(one, cookies.at(-1)!, 0, next) === 1) cookies.push(next.cookieLow);
  folder.unlink(ROOT_INODE, Name.of('file-3'));
  for (const file of [one, other]) {
    assert.equal(folder.nextEntry(file, cookies[5]!, 0, next), 1);
    assert.equal(next.name.toString(), 'file-4');
  }
  makeFile(folder, 'last');
  assert.equal(folder.nextEntry(one, cookies.at(-1)!, 0, next), 1);
  assert.equal(next.name.toString(), 'last');
  assert.equal(folder.nextEntry(one, next.cookieLow, 0, next), 0);
});
