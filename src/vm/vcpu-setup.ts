import type { Vcpu } from '../hypervisor/hypervisor.ts';

export interface VcpuSetup {
  readonly kind: 'reset';
}

export function setUpVcpu(vcpu: Vcpu, _setup: VcpuSetup): void {
  vcpu.setCpuid(vcpu.supportedCpuid());
}
