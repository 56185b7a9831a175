import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { close, open } from '../../base/fd.ts';
import { callMemory } from '../../base/file-calls.ts';
import { FileEntry } from '../attributes.ts';
import { O_DIRECTORY, O_PATH } from '../constants.ts';
import { ENOMEM } from '../errno.ts';
import { ROOT_INODE } from '../folder.ts';
import { Name } from '../name.ts';
import { HostInodes } from './host-inodes.ts';

test('a client that forgets nothing gets no more than so many inodes', () => {
  const path = mkdtempSync(join(tmpdir(), 'crosvm-inodes-'));
  const root = open(path, O_PATH | O_DIRECTORY);
  const inodes = new HostInodes(root, 4);
  const entry = new FileEntry();
  const memory = callMemory(16);
  const enter = (text: string) => {
    const name = Name.of(text);
    memory.bytes.fill(0);
    name.copyTo(memory.bytes, 0);
    return inodes.enter(ROOT_INODE, root, memory.address, name, entry);
  };
  for (const name of ['a', 'b', 'c', 'd']) writeFileSync(join(path, name), '');
  assert.deepEqual(['a', 'b', 'c', 'd', 'a'].map(enter), [0, 0, 0, -ENOMEM, 0], 'with the folder itself');
  inodes.forget(entry.inode, 2);
  assert.deepEqual(['d', 'a', 'd'].map(enter), [0, -ENOMEM, 0]);
  inodes.reset();
  assert.deepEqual(['a', 'b', 'c', 'd'].map(enter), [0, 0, 0, -ENOMEM]);
  close(root);
  rmSync(path, { recursive: true });
});
