/** Which hypervisor a VM runs on. Back ends are loaded when they are needed. */
import { canOpen, hasHardwareVirtualization } from '../base/cpu-info.ts';
import type { HypervisorOption } from '../cli/options/hypervisor.ts';
import type { Hypervisor, HypervisorKind } from '../hypervisor/hypervisor.ts';

/** A hypervisor by its kind and, for KVM, its device: survives structured clone. */
export interface HypervisorChoice {
  readonly kind: HypervisorKind;
  readonly device: string;
}

export const DEFAULT_KVM_DEVICE = '/dev/kvm';

/** What the choice depends on. */
export interface Host {
  hasHardwareVirtualization(): boolean;
  canOpen(path: string): boolean;
}

/**
 * `auto` takes KVM only where the device opens and the CPU has hardware virtualization: some hosts offer a device that
 * interprets kernel code, which Linux does not survive. What was asked for by name is taken; if it cannot work, its
 * `createVm` says why.
 */
export function chooseHypervisor(option: HypervisorOption, kvmDevice?: string, host = thisHost): HypervisorChoice {
  const device = option.device ?? kvmDevice ?? DEFAULT_KVM_DEVICE;
  if (option.kind !== 'auto') return { kind: option.kind, device };
  const useKvm = host.hasHardwareVirtualization() && host.canOpen(device);
  return { kind: useKvm ? 'kvm' : 'soft', device };
}

const thisHost: Host = {
  hasHardwareVirtualization: () => hasHardwareVirtualization(),
  canOpen,
};

export async function loadHypervisor({ kind, device }: HypervisorChoice): Promise<Hypervisor> {
  if (kind === 'soft') return (await import('../hypervisor/soft/soft.ts')).soft();
  return (await import('../hypervisor/kvm/kvm.ts')).kvm(device);
}
