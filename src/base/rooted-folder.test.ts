import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { RootedFolder } from './rooted-folder.ts';

describe('RootedFolder', () => {
  const outside = mkdtempSync(join(tmpdir(), 'crosvm-rooted-'));
  const root = join(outside, 'root');
  let folder: RootedFolder;

  before(() => {
    mkdirSync(join(root, 'usr', 'lib'), { recursive: true });
    writeFileSync(join(outside, 'secret'), 'secret');
    writeFileSync(join(root, 'usr', 'lib', 'file'), 'inside');
    symlinkSync('usr/lib', join(root, 'lib'));
    symlinkSync('/usr/lib', join(root, 'absolute'));
    symlinkSync('../secret', join(root, 'up'));
    symlinkSync(join(outside, 'secret'), join(root, 'out'));
    symlinkSync('loop', join(root, 'loop'));
    symlinkSync('/proc/self/fd/0', join(root, 'magic'));
    execFileSync('mkfifo', [join(root, 'fifo')]);
    folder = new RootedFolder(root);
  });
  after(() => {
    folder[Symbol.dispose]();
    rmSync(outside, { recursive: true });
  });

  function read(path: string): string | undefined {
    using file = folder.open(path);
    return file && Buffer.from(file.readAt(0, file.size)).toString();
  }

  it('follows symbolic links as if it were the root', () => {
    for (const path of ['usr/lib/file', 'lib/file', 'absolute/file', '/lib/file', '../../usr/lib/file']) {
      assert.equal(read(path), 'inside', path);
    }
  });

  it('has nothing of what is outside', () => {
    for (const path of ['up', 'out', '../secret', 'magic', 'none', 'lib/file/x'])
      assert.equal(read(path), undefined, path);
  });

  it('opens nothing but regular files, and says what is wrong by their names', () => {
    const refuses = (path: string, message: string) =>
      assert.throws(() => folder.open(path), { code: 'E_FILE_OPEN', message: `${root}/${path}: ${message}` });
    refuses('lib', 'is a folder');
    refuses('fifo', 'is not a regular file');
    refuses('loop', 'cannot be opened: too many symbolic links');
  });

  it('must be a folder', () => {
    assert.throws(() => new RootedFolder(join(outside, 'none')), { code: 'E_FILE_OPEN', message: /no such file/ });
    assert.throws(() => new RootedFolder(join(outside, 'secret')), { code: 'E_FILE_OPEN', message: /not a folder/ });
  });
});
