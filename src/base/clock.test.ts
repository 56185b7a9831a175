import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { HostClock } from './clock.ts';

test('starts within the first second and never goes back', () => {
  const clock = new HostClock();
  let last = clock.now();
  assert.ok(last >= 0);
  for (let i = 0; i < 1000; i++) {
    const now = clock.now();
    assert.ok(now >= last && Number.isSafeInteger(now));
    last = now;
  }
});

test('threads with the same origin agree', async () => {
  const clock = new HostClock();
  const url = new URL('./clock.ts', import.meta.url).href;
  const code = `const { parentPort, workerData } = require('node:worker_threads');
    import(${JSON.stringify(url)}).then(({ HostClock }) => parentPort.postMessage(new HostClock(workerData).now()));`;
  const before = clock.now();
  const worker = new Worker(code, { eval: true, workerData: clock.origin });
  const inWorker = await new Promise<number>((resolve, reject) => worker.on('message', resolve).on('error', reject));
  assert.ok(before <= inWorker && inWorker <= clock.now());
});
