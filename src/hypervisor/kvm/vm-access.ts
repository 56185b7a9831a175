import { view } from '../../base/mmap.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { MemoryWindow } from '../../memory/memory-window.ts';
import type { CpuidEntry, InterruptController, IoEvent, IrqchipKind, MsiRoute, VmAccess } from '../hypervisor.ts';
import { attachGuestMemory } from '../memfd-memory.ts';
import * as c from './constants.ts';
import { getSupportedCpuid } from './cpuid.ts';
import type { KvmVmHandle } from './handle.ts';
import { KVM_IOEVENTFD, KVM_IRQ_LINE, KVM_IRQFD, KVM_SIGNAL_MSI } from './ioctls.ts';
import { Kicks } from './kick.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { RoutingTable } from './routing.ts';
import { kvm_ioeventfd, kvm_irq_level, kvm_irqfd, kvm_msi } from './structs.ts';
import { attachWindows } from './windows.ts';

/** Interrupts by request, without an eventfd. Allocates nothing for each. */
class KvmInterrupts implements InterruptController {
  readonly #vmFd: number;
  readonly #irqchip: IrqchipKind;
  readonly #level = new NativeStruct(kvm_irq_level);
  readonly #msi = new NativeStruct(kvm_msi);

  constructor(vmFd: number, irqchip: IrqchipKind) {
    this.#vmFd = vmFd;
    this.#irqchip = irqchip;
  }

  setLine(gsi: number, level: boolean): void {
    if (this.#irqchip === 'split') throw new Error(`GSI ${gsi} is a pin of the machine's own IOAPIC, not of KVM's`);
    this.#level.set('irq', gsi);
    this.#level.set('level', level ? 1 : 0);
    kvmIoctl(this.#vmFd, KVM_IRQ_LINE, this.#level);
  }

  signalMsi(address: number, data: number): void {
    this.#msi.set('address_lo', address % 0x1_0000_0000);
    this.#msi.set('address_hi', Math.floor(address / 0x1_0000_0000));
    this.#msi.set('data', data);
    kvmIoctl(this.#vmFd, KVM_SIGNAL_MSI, this.#msi);
  }
}

/** A VM as one thread sees it. */
export class KvmVmAccess implements VmAccess {
  readonly kind = 'kvm';
  readonly memory: GuestMemory;
  readonly memoryFd: number;
  readonly windows: readonly MemoryWindow[];
  readonly interrupts: InterruptController;
  /** The kvm_run mappings of all vCPUs, one after the other. */
  readonly run: Uint8Array;
  readonly kicks: Kicks;
  protected readonly shared: KvmVmHandle;
  readonly #routing: RoutingTable;

  /** `memory` is this thread's view, where there is one already. */
  constructor(shared: KvmVmHandle, memory: GuestMemory = attachGuestMemory(shared.memory)) {
    this.shared = shared;
    this.memory = memory;
    this.memoryFd = shared.memory.fd;
    this.windows = attachWindows(shared.vmFd, shared.windows, shared.memory.layout);
    this.interrupts = new KvmInterrupts(shared.vmFd, shared.irqchip);
    this.run = new Uint8Array(view(shared.runAddress, shared.runSize * shared.vcpuFds.length));
    this.kicks = new Kicks(shared, this.run);
    this.#routing = new RoutingTable(shared.vmFd, shared.irqchip, shared.routes);
  }

  supportedCpuid(): CpuidEntry[] {
    return getSupportedCpuid(this.shared.kvmFd);
  }

  addIrqfd(fd: number, gsi: number, route?: MsiRoute, resampleFd?: number): void {
    if (route !== undefined) this.#routing.setMsi(gsi, route);
    this.#irqfd(fd, gsi, resampleFd === undefined ? 0 : c.KVM_IRQFD_FLAG_RESAMPLE, resampleFd ?? 0);
  }

  removeIrqfd(fd: number, gsi: number): void {
    this.#irqfd(fd, gsi, c.KVM_IRQFD_FLAG_DEASSIGN, 0);
  }

  setMsiRoute(gsi: number, route: MsiRoute | undefined): void {
    this.#routing.setMsi(gsi, route);
  }

  addIoEvent(event: IoEvent): void {
    this.#ioEvent(event, 0);
  }

  removeIoEvent(event: IoEvent): void {
    this.#ioEvent(event, c.KVM_IOEVENTFD_FLAG_DEASSIGN);
  }

  kick(id: number): void {
    this.kicks.kick(id);
  }

  #irqfd(fd: number, gsi: number, flags: number, resampleFd: number): void {
    const argument = new NativeStruct(kvm_irqfd);
    argument.set('fd', fd);
    argument.set('gsi', gsi);
    argument.set('flags', flags);
    argument.set('resamplefd', resampleFd);
    kvmIoctl(this.shared.vmFd, KVM_IRQFD, argument);
  }

  #ioEvent(event: IoEvent, flags: number): void {
    if (event.match !== undefined && event.length === 0) throw new RangeError('a match needs a length to compare');
    const argument = new NativeStruct(kvm_ioeventfd);
    argument.set('addr', event.address);
    argument.set('len', event.length);
    argument.set('fd', event.fd);
    argument.set('datamatch', (event.match ?? 0) >>> 0);
    const match = event.match === undefined ? 0 : c.KVM_IOEVENTFD_FLAG_DATAMATCH;
    const space = event.space === 'port' ? c.KVM_IOEVENTFD_FLAG_PIO : 0;
    argument.set('flags', flags | match | space);
    kvmIoctl(this.shared.vmFd, KVM_IOEVENTFD, argument);
  }
}
