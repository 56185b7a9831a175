import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AttributeChanges, FileAttributes, FileEntry } from '../attributes.ts';
import { O_EXCL, O_RDWR } from '../constants.ts';
import { EPERM } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { Name } from '../name.ts';
import { openFolder } from './open-folder.ts';
import type { PathOwner } from './path-owners.ts';

const path = mkdtempSync(join(tmpdir(), 'crosvm-owners-'));
after(() => rmSync(path, { recursive: true }));
for (const one of ['work/of/me', 'works']) mkdirSync(join(path, one), { recursive: true });
writeFileSync(join(path, 'works', 'file'), '');

const own = { uid: process.geteuid!(), gid: process.getegid!() };
const isRoot = own.uid === 0;
const worker = isRoot ? { uid: 2000, gid: 2001 } : own;
const me = isRoot ? { uid: 3000, gid: 3001 } : own;
const owners: readonly PathOwner[] = [
  { path: ['work'], shown: { uid: 20, gid: 21 }, host: worker, umask: 0o077 },
  { path: ['work', 'of', 'me'], shown: { uid: 30, gid: 31 }, host: me, umask: 0o007 },
];
const folder = openFolder(path, { owners });
after(() => folder.close());
const [entry, attributes, changes] = [new FileEntry(), new FileAttributes(), new AttributeChanges()];

const shown = ({ uid, gid, mode }: FileAttributes) => [uid, gid, mode & 0o7777];

/** Looks a path up; returns its inode. */
function find(...names: string[]): number {
  let inode = ROOT_INODE;
  for (const name of names) {
    assert.equal(folder.lookup(inode, Name.of(name), entry), 0, name);
    inode = entry.inode;
  }
  return inode;
}

function onHost(...names: string[]): number[] {
  const { uid, gid, mode } = lstatSync(join(path, ...names));
  return [uid, gid, mode & 0o7777];
}

test('the longest path says whose a file is, and what is beside it is as on the host', () => {
  const ownerAt = (...names: string[]) => {
    find(...names);
    return [entry.attributes.uid, entry.attributes.gid];
  };
  assert.deepEqual(ownerAt('work'), [20, 21]);
  assert.deepEqual(ownerAt('work', 'of'), [20, 21]);
  assert.deepEqual(ownerAt('work', 'of', 'me'), [30, 31]);
  assert.deepEqual(ownerAt('works', 'file'), [own.uid, own.gid]);
});

test("what is made is the owner's on the host, without the permissions of his umask", () => {
  folder.actAs(7, 7, 0o002);
  folder.release(folder.create(find('work'), Name.of('file'), O_RDWR, 0o666, entry));
  assert.deepEqual(shown(entry.attributes), [20, 21, 0o600]);
  assert.deepEqual(onHost('work', 'file'), [worker.uid, worker.gid, 0o600]);
  assert.equal(folder.makeDirectory(find('work', 'of', 'me'), Name.of('folder'), 0o777, entry), 0);
  assert.deepEqual(shown(entry.attributes), [30, 31, 0o770]);
  assert.deepEqual(onHost('work', 'of', 'me', 'folder'), [me.uid, me.gid, 0o770]);
  assert.equal(folder.symlink(find('work'), Name.of('link'), Name.of('file'), entry), 0);
  assert.deepEqual(shown(entry.attributes).slice(0, 2), [20, 21]);
  assert.deepEqual(onHost('work', 'link').slice(0, 2), [worker.uid, worker.gid]);
  // A path that is not there yet is the owner's when it is made; elsewhere the guest's users make files.
  folder.actAs(isRoot ? 7 : 0, isRoot ? 8 : 0, 0o022);
  folder.release(folder.create(find('works'), Name.of('mine'), O_RDWR, 0o666, entry));
  assert.deepEqual(onHost('works', 'mine'), isRoot ? [7, 8, 0o644] : [own.uid, own.gid, 0o644]);
  assert.deepEqual(shown(entry.attributes), onHost('works', 'mine'));
});

test('there is nobody else to give a file to', () => {
  const inode = find('work', 'file');
  Object.assign(changes, { uid: 20, gid: 21, mode: 0o640 });
  assert.equal(folder.setAttributes(inode, 0, changes, attributes), 0);
  assert.deepEqual(shown(attributes), [20, 21, 0o640]);
  assert.deepEqual(onHost('work', 'file'), [worker.uid, worker.gid, 0o640]);
  for (const other of [
    { uid: 0, gid: 21 },
    { uid: 20, gid: 0 },
    { uid: worker.uid, gid: undefined },
  ]) {
    Object.assign(changes, other);
    assert.equal(folder.setAttributes(inode, 0, changes, attributes), -EPERM);
  }
  Object.assign(changes, { uid: undefined, gid: undefined, mode: undefined });
});

test("a file that is moved is the owner's of where it is, and one that has lost its name stays the last one's", () => {
  const file = folder.create(find('work'), Name.of('wanderer'), O_RDWR, 0o600, entry);
  const { inode } = entry;
  const ownerOf = () => {
    assert.equal(folder.getAttributes(inode, file, attributes), 0);
    return attributes.uid;
  };
  assert.equal(folder.rename(find('work'), Name.of('wanderer'), find('work', 'of', 'me'), Name.of('wanderer'), 0), 0);
  assert.equal(ownerOf(), 30);
  renameSync(join(path, 'work', 'of'), join(path, 'of'));
  assert.equal(folder.lookup(ROOT_INODE, Name.of('of'), entry), 0);
  assert.equal(ownerOf(), worker === own ? own.uid : worker.uid, 'as on the host');
  renameSync(join(path, 'of'), join(path, 'work', 'of'));
  find('work', 'of', 'me');
  assert.equal(ownerOf(), 30);
  assert.equal(folder.unlink(find('work', 'of', 'me'), Name.of('wanderer')), 0);
  assert.equal(ownerOf(), 30);
  folder.release(file);

  const unnamed = folder.createUnnamed(find('work'), O_RDWR | O_EXCL, 0o666, entry);
  assert.ok(unnamed > 0);
  assert.deepEqual(shown(entry.attributes).slice(0, 2), [20, 21]);
  folder.release(unnamed);
});
