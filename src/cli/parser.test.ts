import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runOptions } from './options/run.ts';
import { type Positional, parseCommandLine } from './parser.ts';

const KERNEL: Positional[] = [{ name: 'KERNEL', help: 'the kernel', required: true }];
const parse = (...words: string[]) => parseCommandLine(runOptions, KERNEL, words);

test('all ways to give a value', () => {
  for (const words of [['-m', '512'], ['-m=512'], ['--mem', '512'], ['--mem=512'], ['--mem=size=512']]) {
    assert.equal(parse(...words, 'k').options.mem, 512, words.join(' '));
  }
});

test('an option with an implied value takes another one only behind =', () => {
  assert.equal(parse('k').options.deterministic, undefined);
  const { options, positionals } = parse('--deterministic', '7');
  assert.deepEqual([options.deterministic, positionals], [0, ['7']]);
  assert.equal(parse('--deterministic=7', 'k').options.deterministic, 7);
  for (const seed of ['-1', '1.5', '', 'x', '9007199254740992']) {
    assert.throws(() => parse(`--deterministic=${seed}`, 'k'), { code: 'E_USAGE' }, seed);
  }
  assert.throws(() => parse('--deterministic', '--deterministic=1', 'k'), { code: 'E_USAGE' });
});

test('options and positional arguments in any order, -- ends the options', () => {
  const { options, positionals } = parse('k', '--extended-status', '-c', '2');
  assert.deepEqual(positionals, ['k']);
  assert.equal(options.extendedStatus, true);
  assert.equal(options.cpus, 2);
  assert.deepEqual(parse('--', '-k').positionals, ['-k']);
  assert.deepEqual(parse('-').positionals, ['-']);
});

test('a repeated option keeps its order, others may not be repeated', () => {
  assert.deepEqual(parse('-p', 'a=1', '--params=b', 'k').options.params, ['a=1', 'b']);
  assert.throws(() => parse('-m', '1', '--mem=2', 'k'), { code: 'E_USAGE', message: '--mem is given twice' });
});

test('a value may start with a dash', () => {
  assert.deepEqual(parse('-p', '--', 'k').options.params, ['--']);
});

test('help wins over what follows and over missing arguments', () => {
  assert.equal(parse('-h', '--nonsense').help, true);
  assert.equal(parse('-m', '1', '--help').help, true);
});

test('with stopAtPositional the rest is left alone', () => {
  const { options, positionals } = parseCommandLine(runOptions, [], ['--extended-status', 'run', '--x', '-m'], true);
  assert.equal(options.extendedStatus, true);
  assert.deepEqual(positionals, ['run', '--x', '-m']);
});

for (const [words, message] of [
  [['--serail', 'sink', 'k'], 'unknown option --serail (did you mean --serial?)'],
  [['--intrid=x', 'k'], 'unknown option --intrid (did you mean --initrd?)'],
  [['--frobnicate', 'k'], 'unknown option --frobnicate'],
  [['-m'], '-m needs a value: -m MIB'],
  [['-m', 'lots', 'k'], '-m lots: size: "lots" is not a whole number'],
  [['--mem=', 'k'], '--mem "": a value expected at the end'],
  [['--extended-status=yes', 'k'], '--extended-status takes no value'],
  [['--extended-status', '--extended-status', 'k'], '--extended-status is given twice'],
  [['--hypervisor', 'sfot', 'k'], '--hypervisor sfot: "sfot" is not one of auto, kvm, soft (did you mean soft?)'],
  [['--serial', 'type=stdout,nmu=1', 'k'], '--serial type=stdout,nmu=1: unknown key "nmu" (did you mean num?)'],
  [['-m', '1'], 'KERNEL is missing'],
  [['a', 'b'], 'unexpected argument b'],
] as const) {
  test(`refuses ${words.join(' ')}`, () => {
    assert.throws(() => parse(...words), { code: 'E_USAGE', message });
  });
}
