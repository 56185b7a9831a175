/** The programs in examples/, as their first lines say that they are used. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from './until.ts';
import { runVirtioGuest } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-examples-'));
after(() => rmSync(folder, { recursive: true }));

/** Starts an example; what it has printed when it has ended. */
async function startExample(name: string) {
  const socket = join(folder, name);
  const path = fileURLToPath(new URL(`../examples/${name}.ts`, import.meta.url));
  const program = spawn(process.execPath, [path, socket], { timeout: 120_000 });
  const printed = Promise.all([text(program.stdout), text(program.stderr)]);
  await until(() => existsSync(socket), `${name} listens`);
  return { words: ['--vhost-user', `type=fs,socket=${socket}`], printed };
}

test('programs share trees of their own: one in memory, and one that is made up', async () => {
  const [memory, generated] = await Promise.all(['memory-folder', 'generated-tree'].map(startExample));
  const { outputs, finished } = await runVirtioGuest(
    [...memory!.words, ...generated!.words],
    [
      'dmesg -n 1; mkdir /numbers; mount -t virtiofs scratch /mnt && mount -t virtiofs numbers /numbers',
      'cd /mnt && ls -1R && ./run && mkdir kept && mv result kept && ln kept/result result && cat kept/result; df . | tail -1 | cut -c1-7',
      'cd /numbers; ls -1 squares answer; cat squares/123456789 answer; cat squares/12x; echo 1 >squares/1; rm answer',
      'umount /mnt /numbers',
    ],
    { modules: ['fs'] },
  );
  const [mounted, scratch, numbers, unmounted] = outputs.map(({ output }) => output);
  assert.deepEqual([mounted, unmounted, finished.status], ['', '', 0], finished.console.slice(-2000));
  assert.equal(scratch, '.:\ninput\nrun\n\n./input:\nnumbers\n12\nscratch\n');
  assert.match(
    numbers!,
    /^answer\n\nsquares:\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n15241578750190521\n1764\ncat: .*12x.*No such file/,
  );
  assert.match(numbers!, /squares\/1: Read-only file system\nrm: .*Read-only file system\n$/);
  assert.deepEqual(
    [await memory!.printed, await generated!.printed],
    [
      ['12\n', ''],
      ['', ''],
    ],
  );
});
