import type { IrqchipKind, VcpuHandle } from '../hypervisor.ts';
import type { MemfdMemoryHandle } from '../memfd-memory.ts';
import type { KvmWindowHandle } from './windows.ts';

/** All of a VM that threads share: descriptors are numbers and memory is addresses, valid in the whole process. */
export interface KvmVmHandle {
  /** The KVM device, for questions that are not about this VM. */
  readonly kvmFd: number;
  readonly vmFd: number;
  readonly irqchip: IrqchipKind;
  readonly memory: MemfdMemoryHandle;
  readonly windows: readonly KvmWindowHandle[];
  readonly vcpuFds: readonly number[];
  /** The kvm_run mappings of all vCPUs, one after the other. */
  readonly runAddress: number;
  /** Bytes of one of them. */
  readonly runSize: number;
  /** One Int32 for each vCPU: the id of the thread that runs it, 0 while there is none. */
  readonly threads: SharedArrayBuffer;
  /** State of the vCPUs' `ExitCounters`. */
  readonly exits: SharedArrayBuffer;
  /** State of `RoutingTable`. */
  readonly routes: SharedArrayBuffer;
}

export interface KvmVcpuHandle extends VcpuHandle {
  readonly kind: 'kvm';
  readonly vm: KvmVmHandle;
}
