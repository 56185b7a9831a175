/** Linux on KVM, where there is hardware virtualization. */
import { test } from 'node:test';
import { hasHardwareVirtualization } from '../src/base/cpu-info.ts';
import { chooseHypervisor } from '../src/vm/hypervisors.ts';
import { testLinuxBoots } from './linux-boots.ts';
import { testLinuxSmp } from './linux-smp.ts';

const { kind } = chooseHypervisor({ kind: 'auto', device: undefined });

if (kind === 'kvm') {
  testLinuxBoots('kvm');
  testLinuxSmp('kvm');
} else {
  const reason = hasHardwareVirtualization()
    ? '/dev/kvm cannot be opened'
    : 'this machine has no hardware virtualization (neither vmx nor svm in /proc/cpuinfo)';
  test('Linux boots on KVM', { skip: reason }, () => {});
}
