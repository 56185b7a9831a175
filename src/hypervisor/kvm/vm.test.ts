import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { close } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import type { VmOptions } from '../hypervisor.ts';
import { KvmDevice } from './device.ts';
import { kvm } from './kvm.ts';

function kvmMissing(): string | false {
  try {
    new KvmDevice().close();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

const OPTIONS: VmOptions = { memory: [{ gpa: 0, size: 0x10_0000 }], cpus: 2, irqchip: 'kernel' };
const openDescriptors = () => readdirSync('/proc/self/fd').length;

test('a VM that is closed leaves no descriptor behind', { skip: kvmMissing() }, () => {
  const before = openDescriptors();
  for (const irqchip of ['kernel', 'split'] as const) {
    const vm = kvm().createVm({ ...OPTIONS, irqchip, windows: [{ size: 0x1000, address: 2 ** 32, maxPieces: 1 }] });
    vm.memory.setU8(5, 5);
    const file = createMemfd('test', 0x1000);
    vm.windows[0]!.map({ offset: 0, length: 0x1000, writable: true, fd: file, fdOffset: 0 });
    close(file);
    vm.close();
    assert.equal(vm.memory.getU8(5), 0, 'the memory is given back, and still safe to touch');
    vm.kick(1);
  }
  assert.equal(openDescriptors(), before);
});

test('a VM that cannot be made leaves no descriptor behind', { skip: kvmMissing() }, () => {
  const before = openDescriptors();
  const bad: [Partial<VmOptions>, string][] = [
    [{ cpus: 0 }, 'E_CPUS'],
    [{ cpus: 1.5 }, 'E_CPUS'],
    [{ cpus: 1_000_000 }, 'E_CPUS'],
    [{ memory: [] }, 'E_MEMORY_LAYOUT'],
    [{ memory: [{ gpa: 0, size: 2 ** 46 * 1.5 }] }, 'E_MEMORY_SIZE'],
    // The guest's physical addresses have fewer bits.
    [{ memory: [{ gpa: 2 ** 52, size: 4096 }] }, 'E_SYSTEM'],
    [{ windows: [{ size: 100, maxPieces: 1 }] }, 'E_MEMORY_WINDOW'],
    [{ windows: Array(40).fill({ size: 4096, maxPieces: 4096 }) }, 'E_MEMORY_WINDOW'],
  ];
  for (const [options, code] of bad) assert.throws(() => kvm().createVm({ ...OPTIONS, ...options }), { code });
  assert.equal(openDescriptors(), before);
});

test('a VM can have more vCPUs than xAPIC ids', { skip: kvmMissing() }, () => {
  const vm = kvm().createVm({ ...OPTIONS, cpus: 260 });
  const vcpu = kvm().attachVcpu(vm.handle(259));
  assert.equal(vcpu.getMpState(), 'uninitialized');
  vcpu.close();
  vm.close();
});

test('more MSRs than the kernel takes at once', { skip: kvmMissing() }, () => {
  const vm = kvm().createVm(OPTIONS);
  const vcpu = kvm().attachVcpu(vm.handle(0));
  const entries = Array.from({ length: 600 }, (_, i) => ({ index: 0x176, value: BigInt(i) }));
  vcpu.setMsrs(entries);
  assert.ok(vcpu.getMsrs(entries.map(({ index }) => index)).every(({ value }) => value === 599n));
  vcpu.close();
  vm.close();
});

test('a handle of another hypervisor is refused', () => {
  assert.throws(() => kvm().attachVcpu({ kind: 'soft', id: 0 }), TypeError);
});
