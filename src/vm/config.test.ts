import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeConfig, hypervisorOption, jitThreshold } from './config.ts';

const GIB = 2 ** 30;

test('what is left out gets its default', () => {
  const config = completeConfig({ kernel: 'k', cpus: 2, initrd: undefined }, GIB);
  assert.equal(config.mem, 256);
  assert.equal(config.cpus, 2);
  assert.deepEqual(config.hypervisor, { kind: 'auto', device: undefined });
  assert.deepEqual(config.serial, []);
});

test('a kernel or a BIOS, not both', () => {
  assert.throws(() => completeConfig({}, GIB), { code: 'E_OPTION' });
  assert.throws(() => completeConfig({ kernel: 'k', bios: 'b' }, GIB), { code: 'E_OPTION' });
  assert.equal(completeConfig({ bios: 'b' }, GIB).kernel, undefined);
});

test('memory must be some, and no more than the host has', () => {
  for (const mem of [0, -1, 1.5, Number.NaN, 1025, 2 ** 60]) {
    assert.throws(() => completeConfig({ kernel: 'k', mem }, GIB), { code: 'E_MEMORY_SIZE' }, String(mem));
  }
  assert.equal(completeConfig({ kernel: 'k', mem: 1024 }, GIB).mem, 1024);
});

test('the two spellings of a split irqchip may not contradict each other', () => {
  const split = { kernel: 'k', splitIrqchip: true };
  assert.throws(() => completeConfig({ ...split, irqchip: 'kernel' }, GIB), { code: 'E_OPTION' });
  assert.equal(completeConfig({ ...split, irqchip: 'split' }, GIB).irqchip, 'split');
});

test('a threshold of the JIT is a word or a number of executions', () => {
  const threshold = (jit?: 'auto' | 'off' | number) => jitThreshold(completeConfig({ kernel: 'k', jit }, GIB));
  assert.equal(threshold(), undefined);
  assert.equal(threshold('auto'), undefined);
  assert.equal(threshold('off'), Number.POSITIVE_INFINITY);
  assert.equal(threshold(0), 0);
  for (const bad of [-1, 0.5, Number.NaN, 1_000_001, Number.POSITIVE_INFINITY, 'on' as 'off']) {
    assert.throws(() => threshold(bad), { code: 'E_OPTION' }, String(bad));
  }
});

test('only the software CPU with one vCPU is deterministic', () => {
  const auto = completeConfig({ kernel: 'k', deterministic: 3 }, GIB);
  assert.deepEqual(hypervisorOption(auto), { kind: 'soft', device: undefined });
  assert.deepEqual(hypervisorOption(completeConfig({ kernel: 'k' }, GIB)), { kind: 'auto', device: undefined });
  const kvm = { kind: 'kvm', device: undefined } as const;
  assert.throws(() => completeConfig({ kernel: 'k', deterministic: 3, hypervisor: kvm }, GIB), { code: 'E_OPTION' });
  assert.throws(() => completeConfig({ kernel: 'k', deterministic: 3, cpus: 2 }, GIB), { code: 'E_OPTION' });
  for (const deterministic of [-1, 0.5, Number.NaN, 2 ** 53]) {
    assert.throws(() => completeConfig({ kernel: 'k', deterministic }, GIB), { code: 'E_OPTION' });
  }
});
