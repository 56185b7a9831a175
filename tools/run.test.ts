import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOurPlace, output } from './run.js';

test('output returns what a program prints', async () => {
  assert.equal(await output('sh', ['-c', 'echo out; echo err >&2']), 'out\n');
});

test('output fails with the complaint of the program', async () => {
  await assert.rejects(output('sh', ['-c', 'echo no disk >&2; exit 3']), /^Error: sh -c .* failed: no disk$/);
  await assert.rejects(output('sh', ['-c', 'exit 3']), /failed: status 3$/);
  await assert.rejects(output('/no/such/program', []), { code: 'ENOENT' });
});

test('inOurPlace returns the status, or 128 and the signal', async () => {
  assert.equal(await inOurPlace('sh', ['-c', 'exit 7']), 7);
  assert.equal(await inOurPlace('sh', ['-c', 'kill -KILL $$']), 137);
  await assert.rejects(inOurPlace('/no/such/program', []), { code: 'ENOENT' });
});

test('inOurPlace hands on a request to end', async () => {
  // The child asks us to end, which comes back to it.
  const script = `trap 'exit 42' TERM; kill -TERM ${process.pid}; sleep 1; sleep 1; sleep 1; exit 1`;
  assert.equal(await inOurPlace('sh', ['-c', script]), 42);
  assert.equal(process.listenerCount('SIGTERM'), 0);
});
