import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearest, suggestion } from './nearest.ts';

test('edit distance counts insertions, deletions, replacements and swaps', () => {
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(editDistance('cpus', 'cpus'), 0);
  assert.equal(editDistance('serail', 'serial'), 1);
  assert.equal(editDistance('kernl', 'kernel'), 1);
  assert.equal(editDistance('memory', 'mem'), 3);
});

test('the nearest candidate within a third of the word', () => {
  assert.equal(nearest('--intird', ['--socket', '--initrd', '--params']), '--initrd');
  assert.equal(nearest('--zzzzzz', ['--socket', '--initrd']), undefined);
  assert.equal(nearest('x', ['y']), 'y');
});

test('a suggestion ends a message or is empty', () => {
  assert.equal(suggestion('--serail', ['--serial']), ' (did you mean --serial?)');
  assert.equal(suggestion('qqq', ['--serial']), '');
});
