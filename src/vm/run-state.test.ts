import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { ExitReason } from '../devices/device.ts';
import { RunState } from './run-state.ts';

test('the first reason counts, for every view of the memory', () => {
  for (const reason of ['powered off', 'reset', 'crash', 'panic', 'stopped'] satisfies ExitReason[]) {
    const a = new RunState();
    const b = new RunState(a.buffer);
    assert.equal(a.reason, undefined);
    assert.equal(a.end(reason), true);
    assert.equal(b.end('stopped'), false);
    assert.equal(b.reason, reason);
    b.waitForEnd();
  }
});

test('nobody waits once the VM has started, or ended before it could', () => {
  for (const release of ['start', 'end'] as const) {
    const state = new RunState();
    if (release === 'start') state.start();
    else state.end('stopped');
    state.waitForStart();
  }
});

test('vCPUs of a paused VM wait, until it goes on or ends', async () => {
  for (const release of ['resume', 'end'] as const) {
    const state = new RunState();
    assert.equal(state.waitWhilePaused(), false);
    state.pause();
    assert.equal(await state.allWait(1, 20), false);
    const program = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.module).then(({ RunState }) => {
        parentPort.postMessage(new RunState(workerData.buffer).waitWhilePaused());
      });`;
    const module = new URL('./run-state.ts', import.meta.url).href;
    const vcpu = new Worker(program, { eval: true, workerData: { module, buffer: state.buffer } });
    const waited = new Promise((resolve) => vcpu.once('message', resolve));
    assert.equal(await state.allWait(1, 10_000), true);
    if (release === 'resume') state.resume();
    else state.end('stopped');
    assert.equal(await waited, true);
    assert.equal(await state.allWait(1, 0), false);
  }
});
