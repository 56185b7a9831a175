import type { Hypervisor, VcpuHandle } from '../hypervisor.ts';
import { SoftVcpu } from './vcpu.ts';
import { SoftVm } from './vm.ts';
import type { SoftVcpuHandle } from './vm-access.ts';

/** The software x86-64 CPU: runs wherever WebAssembly does. */
export const soft = (): Hypervisor => ({
  kind: 'soft',
  createVm: (options) => SoftVm.create(options),
  attachVcpu: (handle: VcpuHandle) => {
    if (handle.kind !== 'soft') throw new TypeError(`a vCPU of '${handle.kind}' cannot attach to the software CPU`);
    return new SoftVcpu(handle as SoftVcpuHandle);
  },
});
