import assert from 'node:assert/strict';
import { test } from 'node:test';
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
