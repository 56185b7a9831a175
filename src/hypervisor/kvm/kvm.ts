import type { Hypervisor, VcpuHandle } from '../hypervisor.ts';
import type { KvmVcpuHandle } from './handle.ts';
import { KvmVcpu } from './vcpu.ts';
import { createKvmVm } from './vm.ts';

/** Hardware virtualization by the kernel; `devicePath` is where KVM's device stands. */
export function kvm(devicePath = '/dev/kvm'): Hypervisor {
  return {
    kind: 'kvm',
    createVm: (options) => createKvmVm(options, devicePath),
    attachVcpu: (handle: VcpuHandle) => {
      if (handle.kind !== 'kvm') throw new TypeError(`a vCPU of '${handle.kind}' cannot attach to KVM`);
      return new KvmVcpu(handle as KvmVcpuHandle);
    },
  };
}
