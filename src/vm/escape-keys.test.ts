import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EscapeKeys } from './escape-keys.ts';

function filter(...chunks: string[]): (string | undefined)[] {
  const keys = new EscapeKeys();
  return chunks.map((c) => {
    const passed = keys.filter(new TextEncoder().encode(c));
    return passed && new TextDecoder().decode(passed);
  });
}

test('ordinary keys pass', () => {
  assert.deepEqual(filter('ls\r', '\x03x'), ['ls\r', '\x03x']);
});

test('Ctrl-A x quits, also over two chunks', () => {
  assert.deepEqual(filter('ab\x01x'), [undefined]);
  assert.deepEqual(filter('\x01', 'X'), ['', undefined]);
});

test('Ctrl-A Ctrl-A sends one', () => {
  assert.deepEqual(filter('\x01\x01x', '\x01'), ['\x01x', '']);
});

test('Ctrl-A before another key reaches the guest', () => {
  assert.deepEqual(filter('\x01', 'k'), ['', '\x01k']);
});
