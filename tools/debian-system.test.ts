import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { commandsOf } from './debian-system.ts';

test('blocks of commands are found, with their own indentation', () => {
  const text = '# Title\n\nFirst:\n\n    one \\\n      more\n    two\n\nText.\n\n    three\n';
  assert.deepEqual(commandsOf(text), ['one \\\n  more\ntwo\n', 'three\n']);
  assert.deepEqual(commandsOf('no commands\n'), []);
});

test('docs/debian.md has four blocks: packages, the system, a VM of its disk, a VM of its folder', () => {
  const commands = commandsOf(readFileSync(new URL('../docs/debian.md', import.meta.url), 'utf8'));
  assert.equal(commands.length, 4);
  assert.match(commands[1]!, /^PACKAGES=/);
  assert.match(commands[2]!, /^crosvm run [^\n]*vmlinuz\n$/);
  assert.match(commands[3]!, /^crosvm run [^\n]*--shared-dir "\$PWD\/debian:[^\n]*vmlinuz\n$/);
});
