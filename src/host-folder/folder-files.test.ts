import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getFile, putFile } from './folder-files.ts';
import { MemoryFolder } from './memory/memory-folder.ts';

const CAPACITY = 1 << 20;

test('a program puts files into a folder and gets them', () => {
  const folder = new MemoryFolder(CAPACITY);
  const get = (path: string) => Buffer.from(getFile(folder, path)).toString();
  putFile(folder, 'a', 'at the top');
  putFile(folder, 'x/y/z', Buffer.from([1, 2, 3]));
  putFile(folder, 'x/y/other', '');
  assert.deepEqual([get('a'), [...getFile(folder, 'x/y/z')], get('x/y/other')], ['at the top', [1, 2, 3], '']);
  putFile(folder, 'a', 'less');
  assert.equal(get('a'), 'less');
});

test('what cannot be is told, and nothing stays open or known', () => {
  const folder = new MemoryFolder(CAPACITY);
  putFile(folder, 'a', 'file');
  const wrong = [
    () => getFile(folder, 'nothing'),
    () => getFile(folder, 'a/b'),
    () => getFile(folder, ''),
    () => putFile(folder, 'a/b', ''),
    () => putFile(folder, '../a', ''),
    () => putFile(folder, 'x//y', ''),
    () => putFile(folder, 'large', new Uint8Array(CAPACITY)),
  ];
  for (const act of wrong) assert.throws(act, { code: 'E_FOLDER_FILE' }, act.toString());
});
