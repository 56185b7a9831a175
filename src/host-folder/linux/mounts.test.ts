/** What is mounted within a folder of the host, with real mounts in a namespace of the test's own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ListedFile } from './testing/list-folder.ts';

const PROGRAM = fileURLToPath(new URL('./testing/list-folder.ts', import.meta.url));
const IN_NAMESPACE = ['--user', '--map-root-user', '--mount'];

const canMount = spawnSync('unshare', [...IN_NAMESPACE, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;
const skip = canMount ? false : 'nothing can be mounted here';

/** Two file systems in memory, whose files have the same numbers, and folders in a second place. */
const MOUNTS = `
  set -e
  cd "$0"
  for name in one two; do
    mount -t tmpfs none $name
    mkdir $name/folder
    touch $name/a $name/folder/b
  done
  mount --bind plain again
  mount --bind loop loop/self
  exec "$@"
`;

test('files of mounted file systems have numbers of their own, and mounts are told', { skip }, () => {
  const path = mkdtempSync(join(tmpdir(), 'crosvm-mounts-'));
  try {
    for (const name of ['one', 'two', 'plain', 'plain/inner', 'again', 'loop', 'loop/self'])
      mkdirSync(join(path, name));
    const words = [...IN_NAMESPACE, 'sh', '-c', MOUNTS, path, process.execPath, PROGRAM, path];
    const { stdout, stderr } = spawnSync('unshare', words, { encoding: 'utf8' });
    const files = JSON.parse(stdout || `"${stderr}"`) as ListedFile[];
    const numberOf = (wanted: string) => files.find((file) => file.path === wanted)!.number;
    const unique = files.filter(({ path: at }) => !/^.(again|loop)/.test(at));
    assert.equal(unique.length, 10);
    assert.equal(new Set(unique.map(({ number }) => number)).size, unique.length, stdout);
    assert.equal(numberOf('/again/inner'), numberOf('/plain/inner'), 'a file in two places is one');
    assert.equal(numberOf('/loop/self'), numberOf('/loop'), 'a folder within itself is no mount');
    const isRoot = (file: ListedFile) => file.isMountRoot;
    assert.deepEqual(
      files
        .filter(isRoot)
        .map((file) => file.path)
        .sort(),
      ['/again', '/one', '/two'],
    );
    for (const { path: at, number, listedAs } of files.filter((file) => !isRoot(file) && file.path !== '/loop/self'))
      assert.equal(listedAs, number, at);
  } finally {
    rmSync(path, { recursive: true });
  }
});
