import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readCachedFile, writeCachedFile } from './cached-file.ts';

const root = mkdtempSync(join(tmpdir(), 'cached-file-'));
after(() => rmSync(root, { recursive: true }));

const MAXIMUM = 1000;
const bytes = (size: number) => new Uint8Array(size).fill(size);

test('what was written is read, by its owner alone', () => {
  const path = join(root, 'new', 'folder', 'file');
  writeCachedFile(path, [bytes(3), bytes(4)], MAXIMUM);
  assert.deepEqual([...readCachedFile(path, MAXIMUM)!], [3, 3, 3, 4, 4, 4, 4]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(root, 'new', 'folder')).mode & 0o777, 0o700);
  writeCachedFile(path, [bytes(1)], MAXIMUM);
  assert.deepEqual([...readCachedFile(path, MAXIMUM)!], [1]);
  assert.deepEqual(readdirSync(join(root, 'new', 'folder')), ['file']);
});

test('a file that others could have written is none, nor is a link, a folder, what is too large or not there', () => {
  const path = join(root, 'file');
  writeCachedFile(path, [bytes(5)], MAXIMUM);
  assert.equal(readCachedFile(path, 4), undefined);
  for (const mode of [0o620, 0o602, 0o666]) {
    chmodSync(path, mode);
    assert.equal(readCachedFile(path, MAXIMUM), undefined, mode.toString(8));
  }
  chmodSync(path, 0o600);
  renameSync(path, join(root, 'other'));
  assert.equal(readCachedFile(path, MAXIMUM), undefined);
  symlinkSync(join(root, 'other'), path);
  assert.equal(readCachedFile(path, MAXIMUM), undefined);
  assert.equal(readCachedFile(root, MAXIMUM), undefined);
});

test('what was used longest ago goes when the folder is full', () => {
  const folder = join(root, 'full');
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    writeCachedFile(join(folder, name), [bytes(300)], MAXIMUM);
    utimesSync(join(folder, name), i + 1, i + 1);
  }
  readCachedFile(join(folder, 'a'), MAXIMUM);
  writeCachedFile(join(folder, 'd'), [bytes(300)], MAXIMUM);
  assert.deepEqual(readdirSync(folder).sort(), ['a', 'c', 'd']);
});

test('a folder that cannot be is an error, and leaves nothing', () => {
  writeFileSync(join(root, 'no-folder'), '');
  assert.throws(() => writeCachedFile(join(root, 'no-folder', 'file'), [bytes(1)], MAXIMUM), /ENOTDIR|EEXIST/);
  const path = join(root, 'taken');
  writeCachedFile(join(path, 'file'), [bytes(1)], MAXIMUM);
  assert.throws(() => writeCachedFile(path, [bytes(1)], MAXIMUM), /EISDIR|ENOTEMPTY|EEXIST/);
  assert.deepEqual(
    readdirSync(root).filter((name) => name.startsWith('.')),
    [],
  );
});
