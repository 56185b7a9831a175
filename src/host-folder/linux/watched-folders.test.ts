import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { FileEntry } from '../attributes.ts';
import { ROOT_INODE } from '../folder.ts';
import type { ChangeListener, FolderChanges } from '../folder-changes.ts';
import { Name } from '../name.ts';
import type { LinuxFolder } from './linux-folder.ts';
import { openFolder } from './open-folder.ts';

const MAX_WATCHES = 1024;

let path: string;
let folder: LinuxFolder;
let changes: FolderChanges;
let heard: string[];

const listener: ChangeListener = {
  nameChanged: (parent, name) => heard.push(`${parent}/${name}`),
  dataChanged: (inode) => heard.push(`data of ${inode}`),
  attributesChanged: (inode) => heard.push(`attributes of ${inode}`),
  changesLost: () => heard.push('lost'),
};

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'crosvm-watched-'));
  folder = openFolder(path);
  changes = folder.watchChanges()!;
});

afterEach(() => {
  folder.close();
  rmSync(path, { recursive: true });
});

function look(parent: number, name: string): number {
  const entry = new FileEntry();
  return folder.lookup(parent, Name.of(name), entry) < 0 ? 0 : entry.inode;
}

/** A folder in which somebody has looked. */
function watchedFolder(name: string): number {
  mkdirSync(join(path, name));
  const inode = look(ROOT_INODE, name);
  look(inode, 'missing');
  return inode;
}

function tell(): string[] {
  heard = [];
  changes.tell(listener);
  return heard;
}

test('a folder is watched by what it is, wherever it is moved, and until it is forgotten', () => {
  const [moved, forgotten, removed] = ['moved', 'forgotten', 'removed'].map(watchedFolder) as [number, number, number];
  assert.deepEqual([...changes.watched()], [moved, forgotten, ROOT_INODE, removed]);
  tell();
  renameSync(join(path, 'moved'), join(path, 'forgotten', 'here'));
  folder.forget(forgotten, 1);
  rmSync(join(path, 'removed'), { recursive: true });
  writeFileSync(join(path, 'forgotten', 'here', 'new'), '');
  assert.deepEqual(tell(), [`${ROOT_INODE}/moved`, `${ROOT_INODE}/removed`, `${moved}/new`]);
  assert.deepEqual([...changes.watched()], [moved, ROOT_INODE, removed]);
  folder.forget(removed, 1);
  assert.deepEqual([tell(), [...changes.watched()]], [[], [moved, ROOT_INODE]]);
});

test('the folder that was not used for the longest time is watched no more when there are too many', () => {
  const folders = Array.from({ length: MAX_WATCHES }, (_, i) => watchedFolder(`${i}`));
  // The first one had to make room, as the root is watched, too. The next one is not the oldest any more.
  look(folders[1]!, 'missing');
  watchedFolder('one more');
  tell();
  for (const name of ['0', '1', '2', '3']) writeFileSync(join(path, name, 'new'), '');
  assert.deepEqual(tell(), [`${folders[1]}/new`, `${folders[3]}/new`]);
  assert.equal([...changes.watched()].length, MAX_WATCHES);
});

test('what is skipped is not told, and a folder that starts anew watches nothing until somebody looks', () => {
  const inode = watchedFolder('folder');
  chmodSync(join(path, 'folder'), 0o700);
  heard = [];
  changes.skip(listener);
  assert.deepEqual([heard, tell()], [[], []]);
  chmodSync(join(path, 'folder'), 0o750);
  assert.deepEqual(new Set(tell()), new Set([`attributes of ${inode}`]));
  folder.reset();
  writeFileSync(join(path, 'new'), '');
  assert.deepEqual([tell(), [...changes.watched()]], [[], []]);
  look(ROOT_INODE, 'new');
  rmSync(join(path, 'new'));
  assert.deepEqual(tell(), [`${ROOT_INODE}/new`]);
  changes.close();
  assert.equal(look(ROOT_INODE, 'folder') > 0, true, 'the folder is used without watches');
});
