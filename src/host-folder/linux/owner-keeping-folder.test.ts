import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AttributeChanges, FileAttributes, FileEntry } from '../attributes.ts';
import { O_RDWR } from '../constants.ts';
import { ENODATA, EPERM, ERANGE } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { Name } from '../name.ts';
import { openFolder } from './open-folder.ts';

const KEY = Name.of('user.crosvm.owner');

test('clients see the owners that they gave, and the host only its own user', () => {
  const path = mkdtempSync(join(tmpdir(), 'crosvm-owners-'));
  const folder = openFolder(path, { keepOwners: true });
  const [entry, attributes, changes] = [new FileEntry(), new FileAttributes(), new AttributeChanges()];
  const ownerOf = (name: string) => {
    assert.equal(folder.lookup(ROOT_INODE, Name.of(name), entry), 0);
    return [entry.attributes.uid, entry.attributes.gid];
  };
  folder.actAs(1000, 1001, 0o22);
  const file = folder.create(ROOT_INODE, Name.of('file'), O_RDWR, 0o4755, entry);
  const { inode } = entry;
  assert.deepEqual([entry.attributes.uid, entry.attributes.gid], [1000, 1001]);
  folder.makeDirectory(ROOT_INODE, Name.of('folder'), 0o755, entry);
  folder.actAs(0, 0, 0o22);
  folder.makeNode(ROOT_INODE, Name.of('roots'), 0o100644, 0, 0, entry);
  assert.deepEqual(
    [ownerOf('file'), ownerOf('folder')],
    [
      [1000, 1001],
      [1000, 1001],
    ],
  );
  assert.deepEqual(ownerOf('roots'), [process.geteuid!(), process.getegid!()]);
  // What is there keeps its owner when it is to be made.
  folder.release(folder.create(ROOT_INODE, Name.of('file'), O_RDWR, 0o600, entry));
  assert.deepEqual(ownerOf('file'), [1000, 1001]);

  // What is made in a folder with set-group-id belongs to its group.
  changes.gid = 2000;
  changes.mode = 0o2775;
  folder.lookup(ROOT_INODE, Name.of('folder'), entry);
  const parent = entry.inode;
  assert.equal(folder.setAttributes(parent, 0, changes, attributes), 0);
  assert.deepEqual([attributes.gid, attributes.mode & 0o7777], [2000, 0o2775]);
  folder.actAs(1000, 1001, 0o22);
  folder.makeDirectory(parent, Name.of('in-it'), 0o755, entry);
  assert.deepEqual([entry.attributes.uid, entry.attributes.gid, entry.attributes.mode & 0o7777], [1000, 2000, 0o2755]);

  changes.clear();
  changes.uid = 7;
  assert.equal(folder.setAttributes(inode, file, changes, attributes), 0);
  assert.deepEqual([attributes.uid, attributes.gid, attributes.mode & 0o7777], [7, 1001, 0o755]);
  assert.equal(folder.getAttributes(inode, 0, attributes), 0);
  assert.deepEqual([attributes.uid, attributes.gid], [7, 1001]);
  assert.equal(lstatSync(join(path, 'file')).uid, process.geteuid!());

  folder.symlink(ROOT_INODE, Name.of('link'), Name.of('file'), entry);
  [changes.uid, changes.gid] = [entry.attributes.uid, entry.attributes.gid];
  assert.equal(folder.setAttributes(entry.inode, 0, changes, attributes), 0, 'whose it is already');
  changes.uid++;
  assert.equal(folder.setAttributes(entry.inode, 0, changes, attributes), -EPERM);

  const target = { bytes: new Uint8Array(100), address: 0 };
  assert.equal(folder.setExtended(inode, KEY, Name.of('12345678'), 0), -EPERM, 'nobody makes himself root');
  assert.equal(folder.getExtended(inode, KEY, target, 100), -ENODATA);
  assert.equal(folder.removeExtended(inode, KEY), -ENODATA);
  assert.equal(folder.listExtended(inode, target, 100), 0);
  assert.equal(folder.setExtended(inode, Name.of('user.a'), Name.of('1'), 0), 0);
  assert.equal(folder.listExtended(inode, target, 0), 7);
  assert.equal(folder.listExtended(inode, target, 6), -ERANGE);
  assert.equal(folder.listExtended(inode, target, 7), 7);
  assert.equal(Buffer.from(target.bytes.subarray(0, 7)).toString(), 'user.a\0');
  folder.close();
  rmSync(path, { recursive: true });
});
