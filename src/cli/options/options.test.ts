import assert from 'node:assert/strict';
import { test } from 'node:test';
import { globalOptions } from './global.ts';
import { hypervisorSyntax } from './hypervisor.ts';
import { jitSyntax } from './jit.ts';
import { type Options, optionName, withDefaults } from './option.ts';
import { runOptions } from './run.ts';
import { serialSyntax } from './serial.ts';

test('names are unique, and each option has help and a section', () => {
  const seen = new Set<string>();
  for (const [field, option] of Object.entries(runOptions as Options)) {
    for (const name of [optionName(field), ...(option.aliases ?? []), option.short ?? []].flat()) {
      assert.ok(!seen.has(name), name);
      seen.add(name);
    }
    assert.match(option.help, /^[A-Z].*[.]$/s, field);
    assert.notEqual(option.section, '');
  }
});

test('defaults', () => {
  const config = withDefaults(runOptions);
  assert.equal(config.mem, 256);
  assert.equal(config.cpus, 1);
  assert.deepEqual(config.params, []);
  assert.equal(config.initrd, undefined);
  assert.equal(withDefaults(globalOptions).logLevel, 'info');
  assert.equal(withDefaults(runOptions, { mem: 64 }).mem, 64);
});

test('memory and CPUs by number or by key', () => {
  assert.equal(runOptions.mem.syntax?.parse('512'), 512);
  assert.equal(runOptions.mem.syntax?.parse('size=1024'), 1024);
  assert.equal(runOptions.cpus.syntax?.parse('num-cores=4'), 4);
  assert.throws(() => runOptions.cpus.syntax?.parse('0'), { message: /num-cores: 0 is not between/ });
});

test('hypervisors', () => {
  assert.deepEqual(hypervisorSyntax.parse('soft'), { kind: 'soft', device: undefined });
  assert.deepEqual(hypervisorSyntax.parse('kvm'), { kind: 'kvm', device: undefined });
  assert.deepEqual(hypervisorSyntax.parse('kvm[device=/dev/kvm2]'), { kind: 'kvm', device: '/dev/kvm2' });
  for (const bad of ['', 'kmv', 'soft[device=x]', 'kvm[device=x', 'kvm[]', 'kvm[devcie=x]', 'kvm]']) {
    assert.throws(() => hypervisorSyntax.parse(bad), { code: 'E_OPTION' }, bad);
  }
});

test('what is compiled: a word, or a number of executions', () => {
  assert.equal(jitSyntax.parse('auto'), 'auto');
  assert.equal(jitSyntax.parse('off'), 'off');
  assert.equal(jitSyntax.parse('0'), 0);
  assert.equal(jitSyntax.parse('1000000'), 1_000_000);
  assert.equal(withDefaults(runOptions).jit, 'auto');
  for (const bad of ['', 'on', '-1', '1.5', '1000001', '1e3', 'Infinity']) {
    assert.throws(() => jitSyntax.parse(bad), { code: 'E_OPTION' }, bad);
  }
});

test('serial ports', () => {
  assert.deepEqual(serialSyntax.parse('type=stdout,hardware=serial,num=2,console,earlycon=true,stdin'), {
    type: 'stdout',
    hardware: 'serial',
    num: 2,
    name: undefined,
    path: undefined,
    input: undefined,
    console: true,
    earlycon: true,
    stdin: true,
  });
  assert.equal(serialSyntax.parse('num=3').type, 'sink');
  assert.throws(() => serialSyntax.parse('num=256'), { message: /num: 256 is not between 1 and 255/ });
  assert.throws(() => serialSyntax.parse('type=stdotu'), { message: /did you mean stdout/ });
});
