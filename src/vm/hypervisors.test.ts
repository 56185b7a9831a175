import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseHypervisor } from './hypervisors.ts';

const host = (virtualization: boolean, ...devices: string[]) => ({
  hasHardwareVirtualization: () => virtualization,
  canOpen: (path: string) => devices.includes(path),
});
const auto = { kind: 'auto', device: undefined } as const;

test('auto takes KVM only with hardware virtualization and a device that opens', () => {
  assert.equal(chooseHypervisor(auto, undefined, host(true, '/dev/kvm')).kind, 'kvm');
  assert.equal(chooseHypervisor(auto, undefined, host(false, '/dev/kvm')).kind, 'soft');
  assert.equal(chooseHypervisor(auto, undefined, host(true)).kind, 'soft');
  assert.equal(chooseHypervisor(auto, '/dev/kvm2', host(true, '/dev/kvm')).kind, 'soft');
});

test('what is asked for by name is taken', () => {
  const kvm = { kind: 'kvm', device: undefined } as const;
  assert.deepEqual(chooseHypervisor(kvm, undefined, host(false)), { kind: 'kvm', device: '/dev/kvm' });
  assert.deepEqual(chooseHypervisor(kvm, '/a', host(false)), { kind: 'kvm', device: '/a' });
  assert.deepEqual(chooseHypervisor({ kind: 'kvm', device: '/b' }, '/a', host(false)), { kind: 'kvm', device: '/b' });
  assert.equal(chooseHypervisor({ kind: 'soft', device: undefined }, undefined, host(true, '/dev/kvm')).kind, 'soft');
});
