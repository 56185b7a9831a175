/** A software VM as one thread sees it: memory, interrupt controllers, kicks. */
import { HostClock } from '../../base/clock.ts';
import { EventFd } from '../../base/event-fd.ts';
import { onReadable, type Subscription } from '../../base/readable.ts';
import type { Clock } from '../../devices/device.ts';
import { SoftIrqchip } from '../../irqchip/soft-irqchip.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { CpuidEntry, InterruptController, IoEvent, MsiRoute, VcpuHandle, VmAccess } from '../hypervisor.ts';
import { IoEvents } from './io-events.ts';
import { irqchipStates } from './irqchip-state.ts';
import { blockOf } from './layout.ts';
import { guestMemoryOf, type MachineMemory } from './machine-memory.ts';
import { CPU } from './state.ts';
import { defaultCpuid } from './system/cpuid.ts';

/** The time stamp counter counts nanoseconds. */
export const TSC_KHZ = 1_000_000;

/** What threads need to attach: survives structured clone. */
export interface SoftVmHandle {
  readonly machine: MachineMemory;
  readonly irqchip: SharedArrayBuffer;
  readonly ioEvents: SharedArrayBuffer;
  readonly clockOrigin: number;
}

export interface SoftVcpuHandle extends VcpuHandle {
  readonly kind: 'soft';
  readonly vm: SoftVmHandle;
}

export class SoftVmAccess implements VmAccess {
  readonly kind = 'soft';
  readonly memory: GuestMemory;
  readonly irqchip: SoftIrqchip;
  readonly interrupts: InterruptController;
  readonly ioEvents: IoEvents;
  readonly clock: Clock;
  protected readonly shared: SoftVmHandle;
  readonly #words: Int32Array;
  readonly #irqfds = new Map<number, Subscription>();
  readonly #routes = new Map<number, MsiRoute>();

  constructor(shared: SoftVmHandle, clock: Clock = new HostClock(shared.clockOrigin)) {
    this.shared = shared;
    this.clock = clock;
    this.memory = guestMemoryOf(shared.machine);
    this.#words = new Int32Array(shared.machine.memory.buffer);
    this.ioEvents = new IoEvents(shared.ioEvents);
    const notifier = { notify: (vcpu: number) => this.notify(vcpu) };
    // A PIT that was programmed by another vCPU's thread is ticked by vCPU 0.
    const deps = { clock: this.clock, notifier, rearm: () => this.notify(0) };
    this.irqchip = new SoftIrqchip(irqchipStates(shared.irqchip, shared.machine.cpus), deps);
    this.interrupts = this.irqchip;
  }

  /** Makes a vCPU look at its LAPIC soon. */
  notify(vcpu: number): void {
    const word = (blockOf(vcpu) + CPU.attention) >> 2;
    Atomics.store(this.#words, word, -0x8000_0000);
    Atomics.notify(this.#words, word);
  }

  kick(id: number): void {
    Atomics.store(this.#words, (blockOf(id) + CPU.kicked) >> 2, 1);
    this.notify(id);
  }

  /** The event loop of the thread that adds an irqfd listens to it: the main thread's. */
  addIrqfd(fd: number, gsi: number, route?: MsiRoute, resampleFd?: number): void {
    const eventFd = new EventFd(fd);
    if (route !== undefined) this.#routes.set(gsi, route);
    const raise = (): void => {
      eventFd.clear();
      const msi = this.#routes.get(gsi);
      if (msi !== undefined) {
        this.interrupts.signalMsi(msi.address, msi.data);
        return;
      }
      this.interrupts.setLine(gsi, true);
      if (resampleFd === undefined) this.interrupts.setLine(gsi, false);
    };
    this.#irqfds.set(fd, onReadable(fd, raise));
  }

  removeIrqfd(fd: number): void {
    this.#irqfds.get(fd)?.close();
    this.#irqfds.delete(fd);
  }

  setMsiRoute(gsi: number, route: MsiRoute | undefined): void {
    if (route === undefined) this.#routes.delete(gsi);
    else this.#routes.set(gsi, route);
  }

  addIoEvent(event: IoEvent): void {
    this.ioEvents.add(event);
  }

  removeIoEvent(event: IoEvent): void {
    this.ioEvents.remove(event);
  }

  supportedCpuid(): CpuidEntry[] {
    return defaultCpuid({ id: 0, vcpus: this.shared.machine.cpus, tscKhz: TSC_KHZ });
  }

  protected stopIrqfds(): void {
    for (const fd of [...this.#irqfds.keys()]) this.removeIrqfd(fd);
  }
}
