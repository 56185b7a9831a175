import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { FileEntry } from '../attributes.ts';
import { O_RDWR } from '../constants.ts';
import { EINVAL, ENODATA, EPERM, ERANGE } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { Name } from '../name.ts';
import type { LinuxFolder } from './linux-folder.ts';
import { type OpenFolderOptions, openFolder } from './open-folder.ts';

let path: string;
let inode: number;
const target = { bytes: new Uint8Array(1000), address: 0 };

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'crosvm-attributes-'));
});

afterEach(() => rmSync(path, { recursive: true }));

/** With one file, `inode`. */
function open(options: OpenFolderOptions): LinuxFolder {
  const folder = openFolder(path, options);
  const entry = new FileEntry();
  folder.release(folder.create(ROOT_INODE, Name.of('file'), O_RDWR, 0o666, entry));
  inode = entry.inode;
  return folder;
}

function list(folder: LinuxFolder, size = 1000): string[] | number {
  const length = folder.listExtended(inode, target, size);
  return length < 0 ? length : Buffer.from(target.bytes.subarray(0, length)).toString().split('\0').slice(0, -1).sort();
}

test('security attributes are kept under another name where that is wanted', () => {
  const host = open({});
  assert.equal(host.setExtended(inode, Name.of('user.a'), Name.of('of the host'), 0), 0);
  const folder = open({ rewriteSecurity: true });
  assert.equal(folder.setExtended(inode, Name.of('security.x'), Name.of('label'), 0), 0);
  assert.deepEqual(list(folder), ['security.x', 'user.a']);
  assert.equal(folder.listExtended(inode, target, 0), 18);
  assert.equal(list(folder, 17), -ERANGE);
  assert.equal(folder.getExtended(inode, Name.of('security.x'), target, 1000), 5);
  const stored = Name.of('user.virtiofs.security.x');
  assert.equal(folder.setExtended(inode, stored, Name.of('1'), 0), -EPERM);
  assert.equal(folder.getExtended(inode, stored, target, 1000), -ENODATA);
  assert.equal(folder.removeExtended(inode, stored), -ENODATA);
  host.lookup(ROOT_INODE, Name.of('file'), new FileEntry());
  assert.deepEqual(list(host), ['user.a', 'user.virtiofs.security.x']);
  assert.equal(folder.removeExtended(inode, Name.of('security.x')), 0);
  assert.deepEqual(list(host), ['user.a']);
  for (const one of [host, folder]) one.close();
});

test('the owner that is kept is hidden, also together with other names', () => {
  const folder = open({ rewriteSecurity: true, keepOwners: true });
  assert.equal(folder.setExtended(inode, Name.of('security.x'), Name.of('1'), 0), 0);
  folder.actAs(7, 7, 0o22);
  const entry = new FileEntry();
  folder.makeDirectory(ROOT_INODE, Name.of('folder'), 0o755, entry);
  assert.deepEqual(list(folder), ['security.x']);
  inode = entry.inode;
  assert.deepEqual(list(folder), []);
  folder.close();
});

test('names and values that cannot be are refused', () => {
  for (const options of [{}, { rewriteSecurity: true }]) {
    const folder = open(options);
    const set = (name: string, value = Name.of('1')) => folder.setExtended(inode, Name.of(name), value, 0);
    assert.equal(set(''), -ERANGE);
    assert.equal(set(`user.${'a'.repeat(251)}`), -ERANGE);
    assert.equal(set(`security.${'a'.repeat(10_000)}`), -ERANGE);
    assert.equal(set('user.a\0b'), -EINVAL);
    assert.equal(set('user.a', new Name(target, 0, 65537)), -ERANGE);
    folder.close();
  }
});
