import { hasHardwareVirtualization } from '../../src/base/cpu-info.ts';
import { KvmDevice } from '../../src/hypervisor/kvm/device.ts';
import type { Target } from './harness.ts';

/** The part of a target that all configurations of KVM share. */
export const KVM = { module: new URL('../../src/hypervisor/kvm/kvm.ts', import.meta.url).href, factory: 'kvm' };

/** Why there is no KVM to test here, or undefined if there is. */
export function kvmMissing(): string | undefined {
  try {
    new KvmDevice().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const EMULATED = 'this KVM interprets kernel code (the CPU shows neither vmx nor svm), and its interpreter lacks that';

/**
 * Found by experiment on such a host: it decodes no SSE and no INT n, ends each interrupt as it delivers it, begins locked
 * instructions that another vCPU disturbed again with the flags that they have changed, and takes memory that the host
 * cannot provide for a device's.
 */
export const emulatorLacks: Target['lacks'] = hasHardwareVirtualization()
  ? {}
  : {
      sse: EMULATED,
      'locked-instructions': EMULATED,
      'software-interrupts': EMULATED,
      'interrupt-window': EMULATED,
      'interrupt-service': EMULATED,
      'lost-pages': EMULATED,
    };
