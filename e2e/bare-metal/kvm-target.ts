import { KvmDevice } from '../../src/hypervisor/kvm/device.ts';

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
