import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { enterRawMode, isTerminal } from './terminal.ts';

class FakeProcess extends EventEmitter {
  readonly pid = 77;
  readonly killed: string[] = [];
  kill(pid: number, signal: string) {
    this.killed.push(`${pid} ${signal}`);
  }
}

function start() {
  const modes: boolean[] = [];
  const source = new FakeProcess();
  const restore = enterRawMode({ setRawMode: (on) => modes.push(on) }, source);
  return { modes, source, restore };
}

test('restores once, and leaves no listener behind', () => {
  const { modes, source, restore } = start();
  assert.deepEqual(modes, [true]);
  restore();
  restore();
  assert.deepEqual(modes, [true, false]);
  assert.deepEqual(source.eventNames(), []);
});

test('restores at exit', () => {
  const { modes, source } = start();
  source.emit('exit');
  assert.deepEqual(modes, [true, false]);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  test(`${signal} restores and then ends the process`, () => {
    const { modes, source } = start();
    source.emit(signal);
    assert.deepEqual(modes, [true, false]);
    assert.deepEqual(source.killed, [`77 ${signal}`]);
  });
}

test('a signal that somebody else handles is left to them', () => {
  const { modes, source } = start();
  source.on('SIGTERM', () => {});
  source.emit('SIGTERM');
  assert.deepEqual(modes, [true, false]);
  assert.deepEqual(source.killed, []);
});

test('isTerminal knows a terminal from a file', () => {
  const terminal = openSync('/dev/ptmx', 'r+');
  const file = openSync('/dev/null', 'r');
  assert.equal(isTerminal(terminal), true);
  assert.equal(isTerminal(file), false);
  closeSync(terminal);
  closeSync(file);
});
