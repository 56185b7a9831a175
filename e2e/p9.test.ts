/** The 9P server with clients of others: diod's tools, over TCP. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveOnPort } from './p9/stream-server.ts';

const SECONDS = '20';

/** What a program has printed; an error with what it has complained of. */
function run(program: string, ...words: readonly string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    execFile(program, words, { encoding: 'buffer', maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(Object.assign(error, { said: stderr.toString() }));
    });
  });
}

const missing = await run('diodls', '--help').then(
  () => false as const,
  ({ code }: { code?: unknown }) => (code === 'ENOENT' ? 'diodls is missing (package diod)' : false),
);

test("diod's tools list folders and read files", { skip: missing }, async () => {
  const path = mkdtempSync(join(tmpdir(), 'crosvm-diod-'));
  const large = randomBytes(3_000_000);
  writeFileSync(join(path, 'large'), large);
  mkdirSync(join(path, 'folder'));
  for (let i = 0; i < 1000; i++) writeFileSync(join(path, 'folder', `file ${i}`), `${i}`);
  symlinkSync('/etc/passwd', join(path, 'link'));
  const { port, server } = await serveOnPort(path);
  const server9p = ['-s', `127.0.0.1:${port}`, '-a', '/', '-t', SECONDS];
  try {
    const listed = (await run('diodls', ...server9p, 'folder')).toString().trim().split('\n');
    assert.deepEqual(listed.sort(), readdirSync(join(path, 'folder')).sort());
    const long = (await run('diodls', ...server9p, '-l')).toString();
    assert.match(long, /^drwxr-xr-x\b.* folder$/m);
    assert.match(long, /^-rw-r--r--\. .*3000000 .* large$/m);
    assert.match(long, / link$/m);
    for (const msize of ['4096', '65536', '1048576']) {
      assert.deepEqual(await run('diodcat', ...server9p, '-m', msize, 'large'), large);
    }
    assert.equal((await run('diodcat', ...server9p, 'folder/file 7', 'folder/../folder/file 8')).toString(), '78');
    await assert.rejects(run('diodcat', ...server9p, 'none'), { said: /No such file or directory/ });
    await assert.rejects(run('diodcat', ...server9p, 'link'), { said: /symbolic links/ });
    await assert.rejects(run('diodcat', ...server9p, '../../etc/passwd'), { said: /No such file or directory/ });
    await assert.rejects(run('diodls', '-s', `127.0.0.1:${port}`, '-a', '/etc'), { said: /No such file or directory/ });
  } finally {
    server.close();
    rmSync(path, { recursive: true });
  }
});
