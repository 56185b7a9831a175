import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { closeAll } from './fd.ts';
import { SOCK_STREAM, unixPair } from './unix-listener.ts';

test('what V8 writes to its event loop goes nowhere in a device process', () => {
  const [one, other] = unixPair(SOCK_STREAM);
  const program = `
    const { exitNow, keepDescriptors, wakeDescriptors } = await import('${new URL('./process.ts', import.meta.url)}');
    const { openSync, readlinkSync, readdirSync } = await import('node:fs');
    const wake = wakeDescriptors();
    const nothing = openSync('/dev/null', 'r+');
    const kept = keepDescriptors([nothing, 1, 2, 3, ...Array.from({ length: 20 }, () => nothing)], wake);
    console.log(JSON.stringify({ wake, kept, links: wake.map((fd) => readlinkSync('/proc/self/fd/' + fd)) }));
    exitNow(0);`; // without the threads that wait for the event loop's descriptors
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit', one],
    encoding: 'utf8',
  });
  closeAll([one, other]);
  const { wake, kept, links } = JSON.parse(stdout);
  assert.ok(wake.length > 0);
  assert.equal(kept.length, 24);
  assert.deepEqual(
    kept.filter((fd: number) => wake.includes(fd)),
    [],
  );
  for (const link of links) assert.equal(link, '/dev/null');
});
