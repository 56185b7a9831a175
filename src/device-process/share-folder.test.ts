import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { shareFolder } from './share-folder.ts';

const FOLDER = { path: tmpdir(), tag: 'share' };
const MAP = [{ inside: 0, outside: 1000, count: 1 }];

test('without a jail, users cannot be mapped and nobody else can be become', () => {
  for (const users of [{ users: MAP }, { groups: MAP }, { user: { uid: 1000, gid: 1000 } }]) {
    const { open } = shareFolder({ ...FOLDER, ...users }, false);
    assert.throws(open, { code: 'E_JAIL', message: /take the sandbox/ });
  }
  shareFolder(FOLDER, false).open().close();
});

test('what is no folder is refused before anything is done', () => {
  for (const [path, message] of [
    [process.execPath, /not a folder/],
    ['/proc/self', /window into the kernel/],
    ['/nowhere', /there is no such file/],
  ] as const) {
    assert.throws(() => shareFolder({ ...FOLDER, path }, false), { code: 'E_FILE_OPEN', message });
  }
});
