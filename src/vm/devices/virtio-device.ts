/** A virtio device of a VM as its threads attach to it. */
import type { VirtioFunction } from '../../devices/platform.ts';
import type { VmAccess } from '../../hypervisor/hypervisor.ts';
import type { VirtioPciSpec } from '../../pci/virtio-pci/virtio-pci.ts';
import { type VhostKernelHandle, VhostKernelLink } from '../../vhost-kernel/vhost-kernel-link.ts';
import { type VhostUserHandle, VhostUserLink } from '../../vhost-user/front-end/vhost-user-link.ts';
import { VectorInterrupts } from './wiring.ts';

/** Survives structured clone. */
export interface VirtioDeviceHandle {
  /** For messages, such as `the block device /run/disk.sock`. */
  readonly name: string;
  /** Its device number on PCI bus 0. */
  readonly slot: number;
  /** MSI-X vector v is GSI `firstGsi` + v. */
  readonly firstGsi: number;
  readonly spec: VirtioPciSpec;
  /** Which window of the VM its shared memory is, if it has any. */
  readonly window: number | undefined;
  readonly backEnd: VhostUserHandle | VhostKernelHandle;
}

/** The way to what provides a device. */
export type DeviceLink = VhostUserLink | VhostKernelLink;

/** A device as this thread sees it. */
export interface AttachedVirtioDevice extends VirtioFunction {
  readonly link: DeviceLink;
}

/** `report` gets a sentence when the device fails; it is called with locks held. */
export function attachVirtioDevice(
  { name, slot, firstGsi, spec, window, backEnd }: VirtioDeviceHandle,
  vm: VmAccess,
  report: (sentence: string) => void,
): AttachedVirtioDevice {
  return {
    slot,
    spec,
    link: 'kernel' in backEnd ? new VhostKernelLink(backEnd, vm) : new VhostUserLink(backEnd, vm),
    window: window === undefined ? undefined : vm.windows[window],
    msix: new VectorInterrupts(vm, backEnd.wiring, firstGsi),
    isRam: (address, length) => vm.memory.contains(address, length),
    report: (reason) => report(`${name} needs a reset by the guest: ${reason}`),
  };
}
