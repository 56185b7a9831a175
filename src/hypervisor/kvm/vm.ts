import { close } from '../../base/fd.ts';
import { addressOf } from '../../base/ffi.ts';
import { MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, mmap } from '../../base/mmap.ts';
import { CrosvmError } from '../../errors.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { IrqchipKind, Vm, VmOptions } from '../hypervisor.ts';
import { createGuestMemory, releaseGuestMemory } from '../memfd-memory.ts';
import type { KvmVcpuStatistics } from '../statistics.ts';
import * as c from './constants.ts';
import { KvmDevice } from './device.ts';
import { ExitCounters } from './exit-counters.ts';
import type { KvmVcpuHandle, KvmVmHandle } from './handle.ts';
import * as ioctls from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { MemorySlots } from './memory-slots.ts';
import { RoutingTable } from './routing.ts';
import { kvm_enable_cap, kvm_pit_config } from './structs.ts';
import { KvmVmAccess } from './vm-access.ts';
import { createWindows, releaseWindows } from './windows.ts';

/** Pages that VT-x needs for real mode: one for an identity map, three for a TSS, in the hole below the BIOS. */
const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
const TSS_ADDRESS = 0xfeff_d000;
/** APIC id 255 means all CPUs in xAPIC mode. */
const MAX_XAPIC_CPUS = 255;

/** A VM of the kernel, seen by its maker. */
export class KvmVm extends KvmVmAccess implements Vm {
  readonly windowFaults = [];
  readonly #slots: MemorySlots;

  /** From `createKvmVm`. */
  constructor(shared: KvmVmHandle, memory: GuestMemory) {
    super(shared, memory);
    this.#slots = new MemorySlots(shared.vmFd, this.memory, shared.memory.layout);
  }

  setDirtyLog(index: number, enabled: boolean): void {
    this.#slots.setDirtyLog(index, enabled);
  }

  takeDirtyLog(index: number): Uint8Array {
    return this.#slots.takeDirtyLog(index);
  }

  statistics(id: number): KvmVcpuStatistics {
    this.#checkVcpu(id);
    return new ExitCounters(this.shared.exits, id).read();
  }

  handle(id: number): KvmVcpuHandle {
    this.#checkVcpu(id);
    return { kind: 'kvm', id, vm: this.shared };
  }

  close(): void {
    release(this.shared);
  }

  #checkVcpu(id: number): void {
    if (this.shared.vcpuFds[id] === undefined) throw new RangeError(`there is no vCPU ${id}`);
  }
}

/** Makes a VM with its memory, interrupt controllers and vCPUs. Throws `CrosvmError`s. */
export function createKvmVm(options: VmOptions, devicePath: string): KvmVm {
  const device = new KvmDevice(devicePath);
  let made: Partial<KvmVmHandle> = { kvmFd: device.fd };
  try {
    checkCpus(options.cpus, device.extension(c.KVM_CAP_MAX_VCPUS));
    const { memory, handle } = createGuestMemory(options.memory);
    made = { ...made, memory: handle };
    const windows = createWindows(
      options.windows ?? [],
      options.memory.length,
      device.extension(c.KVM_CAP_NR_MEMSLOTS),
    );
    made = { ...made, windows };
    const vmFd = device.createVm();
    made = { ...made, vmFd };
    setUpVm(vmFd, options.irqchip);
    if (options.cpus > MAX_XAPIC_CPUS) enableWideApicIds(vmFd);
    made = { ...made, ...createVcpus(vmFd, options.cpus, device.vcpuMmapSize()) };
    const shared = {
      ...made,
      irqchip: options.irqchip,
      threads: new SharedArrayBuffer(4 * options.cpus),
      exits: ExitCounters.allocate(options.cpus),
      routes: RoutingTable.allocate(),
    } as KvmVmHandle;
    return new KvmVm(shared, memory);
  } catch (error) {
    release(made);
    throw error;
  }
}

function checkCpus(cpus: number, max: number): void {
  if (Number.isInteger(cpus) && cpus >= 1 && cpus <= max) return;
  throw new CrosvmError('E_CPUS', `a VM of this KVM has 1 to ${max} CPUs, not ${cpus}`);
}

/** What must happen before the first vCPU is made. */
function setUpVm(vmFd: number, irqchip: IrqchipKind): void {
  const bytes = new Uint8Array(BigUint64Array.of(BigInt(IDENTITY_MAP_ADDRESS)).buffer);
  kvmIoctl(vmFd, ioctls.KVM_SET_IDENTITY_MAP_ADDR, { bytes, address: addressOf(bytes) });
  kvmIoctl(vmFd, ioctls.KVM_SET_TSS_ADDR, TSS_ADDRESS);
  if (irqchip === 'kernel') {
    kvmIoctl(vmFd, ioctls.KVM_CREATE_IRQCHIP);
    const pit = new NativeStruct(kvm_pit_config);
    pit.set('flags', c.KVM_PIT_SPEAKER_DUMMY);
    kvmIoctl(vmFd, ioctls.KVM_CREATE_PIT2, pit);
  } else {
    enableCapability(vmFd, c.KVM_CAP_SPLIT_IRQCHIP, c.KVM_IOAPIC_NUM_PINS);
  }
}

/** Interrupts to APIC ids that have more than 8 bits, and no broadcast to id 255. */
function enableWideApicIds(vmFd: number): void {
  const flags = c.KVM_X2APIC_API_USE_32BIT_IDS | c.KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
  enableCapability(vmFd, c.KVM_CAP_X2APIC_API, flags);
}

function enableCapability(vmFd: number, capability: number, argument: number): void {
  const enable = new NativeStruct(kvm_enable_cap);
  enable.set('cap', capability);
  enable.set('args[0]', argument);
  kvmIoctl(vmFd, ioctls.KVM_ENABLE_CAP, enable);
}

/** All kvm_run mappings lie side by side, so that a thread needs one view of them. */
function createVcpus(
  vmFd: number,
  cpus: number,
  runSize: number,
): Pick<KvmVmHandle, 'vcpuFds' | 'runAddress' | 'runSize'> {
  const vcpuFds: number[] = [];
  const runAddress = mmap({ length: cpus * runSize });
  try {
    for (let id = 0; id < cpus; id++) {
      const fd = kvmIoctl(vmFd, ioctls.KVM_CREATE_VCPU, id);
      vcpuFds.push(fd);
      mmap({ address: runAddress + id * runSize, length: runSize, fd, flags: MAP_SHARED });
    }
  } catch (error) {
    release({ vcpuFds, runAddress, runSize });
    throw error;
  }
  return { vcpuFds, runAddress, runSize };
}

/** Gives back what there is. Addresses stay taken, for views that other threads may still hold. */
function release(shared: Partial<KvmVmHandle>): void {
  const { vcpuFds = [], runAddress, runSize = 0, vmFd, memory, windows = [], kvmFd } = shared;
  if (runAddress !== undefined && vcpuFds.length > 0) {
    mmap({ address: runAddress, length: vcpuFds.length * runSize, flags: MAP_PRIVATE | MAP_NORESERVE });
  }
  for (const fd of vcpuFds) close(fd);
  if (vmFd !== undefined) close(vmFd);
  if (memory !== undefined) releaseGuestMemory(memory);
  releaseWindows(windows);
  if (kvmFd !== undefined) close(kvmFd);
}
