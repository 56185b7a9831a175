import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CommandHelp, commandHelp, programHelp } from './help.ts';
import { type Options, optionName } from './options/option.ts';
import { runOptions } from './options/run.ts';

const run: CommandHelp = {
  name: 'run',
  summary: 'Start a VM.',
  description: 'Starts a virtual machine and waits until it ends, and this sentence is here to be wrapped.',
  options: runOptions,
  positionals: [{ name: 'KERNEL', help: 'The kernel.', required: false }],
  examples: ['crosvm run vmlinux'],
};

for (const width of [80, 100]) {
  test(`help fits ${width} columns and ends in a newline`, () => {
    for (const text of [commandHelp(run, width), programHelp([run], runOptions, width)]) {
      for (const line of text.split('\n')) assert.ok(line.length <= width, line);
      assert.ok(text.endsWith('\n') && !text.endsWith('\n\n'));
    }
  });
}

test('help names every option, its short form, default and keys', () => {
  const text = commandHelp(run, 80);
  for (const [field, option] of Object.entries(runOptions as Options)) {
    assert.ok(text.includes(`--${optionName(field)}`), field);
    if (option.short !== undefined) assert.ok(text.includes(`-${option.short}, --${optionName(field)}`), field);
    for (const key of option.syntax?.keys?.length === 1 ? [] : (option.syntax?.keys ?? [])) {
      assert.ok(text.includes(`${key.usage}:`), key.usage);
    }
  }
  assert.match(text, /^Usage: crosvm run \[OPTIONS\] \[KERNEL\]\n/);
  assert.match(text, /-m, --mem MIB {2,}Guest memory\. \[default: 256\]/);
  assert.match(text, /-p, --params TEXT.*\s+.*Repeatable/);
  assert.match(text, /--deterministic\[=SEED\]\n/);
  assert.match(text, /Examples:\n {2}crosvm run vmlinux\n/);
});

test('a command without options shows only --help', () => {
  const text = commandHelp({ ...run, options: {}, positionals: [], examples: [] }, 80);
  assert.match(text, /^Usage: crosvm run\n/);
  assert.match(text, /\nOptions:\n {2}-h, --help {2,}Show this help\.\n$/);
});

test('the program lists its commands', () => {
  assert.match(programHelp([run], {}, 80), /Commands:\n {2}run {2,}Start a VM\.\n/);
});
