/** A software VM as one thread sees it: memory, interrupt controllers, kicks. */
import { IOAPIC_PINS } from '../../arch/x86_64/platform.ts';
import { HostClock } from '../../base/clock.ts';
import { EventFd } from '../../base/event-fd.ts';
import type { Clock, InterruptLine } from '../../devices/device.ts';
import { WiredOr, WiredOrState } from '../../devices/wired-or.ts';
import { SoftIrqchip } from '../../irqchip/soft-irqchip.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { MemoryWindow } from '../../memory/memory-window.ts';
import type {
  CpuidEntry,
  InterruptController,
  IoEvent,
  MsiRoute,
  SoftOptions,
  VcpuHandle,
  VmAccess,
} from '../hypervisor.ts';
import { CodeMap } from './code-map.ts';
import { CodeWrites } from './code-writes.ts';
import { DirtyLog } from './dirty-log.ts';
import { InstructionClock } from './instruction-clock.ts';
import { IoEvents } from './io-events.ts';
import { irqchipStates } from './irqchip-state.ts';
import { type IrqfdHandle, Irqfds } from './irqfds.ts';
import type { KeptPlace } from './kept-files.ts';
import { guestMemoryOf, type MachineMemory } from './machine-memory.ts';
import { defaultCpuid } from './system/cpuid.ts';
import type { PhysicalMemory } from './system/system-cpu.ts';
import { VcpuSignals } from './vcpu-signals.ts';
import { attachWindows } from './windows.ts';

/** The time stamp counter counts nanoseconds. */
export const TSC_KHZ = 1_000_000;

/** A vCPU that a device keeps busy for longer than these milliseconds is not waited for. */
const FLUSH_TIMEOUT = 20;

/** Who drives the wires: the machine's devices, and irqfds. */
const MACHINE_SOURCE = 0;
const IRQFD_SOURCE = 1;

/** What threads need to attach: survives structured clone. */
export interface SoftVmHandle {
  /** The compiled core module: made while the vCPU threads load their program. */
  readonly core: WebAssembly.Module;
  readonly machine: MachineMemory;
  /** State of the windows. */
  readonly windows: readonly SharedArrayBuffer[];
  readonly irqchip: SharedArrayBuffer;
  readonly wires: SharedArrayBuffer;
  readonly irqfds: IrqfdHandle;
  /** Eventfds, by vCPU: how those that sleep are called. */
  readonly calls: readonly number[];
  readonly ioEvents: SharedArrayBuffer;
  readonly clockOrigin: number;
  readonly options: SoftOptions;
  /** Undefined: compiled code is not kept. */
  readonly keptPlace: KeptPlace | undefined;
}

export interface SoftVcpuHandle extends VcpuHandle {
  readonly kind: 'soft';
  readonly vm: SoftVmHandle;
}

export class SoftVmAccess implements VmAccess {
  readonly kind = 'soft';
  readonly core: WebAssembly.Module;
  readonly machine: MachineMemory;
  readonly memory: GuestMemory;
  readonly memoryFd: number;
  readonly windows: readonly MemoryWindow[];
  /** Guest memory for what a vCPU itself writes: the dirty log sees it, and decoded code. */
  readonly trackedMemory: PhysicalMemory;
  readonly irqchip: SoftIrqchip;
  readonly interrupts: InterruptController;
  readonly ioEvents: IoEvents;
  readonly clock: Clock;
  readonly guestClock: Clock | undefined;
  readonly options: SoftOptions;
  readonly keptPlace: KeptPlace | undefined;
  /** Who writes guest memory and is no vCPU tells it here: decoded code may have been made from it. */
  readonly codeWrites: CodeWrites;
  /** By vCPU. */
  readonly signals: readonly VcpuSignals[];
  protected readonly shared: SoftVmHandle;
  protected readonly dirtyLog: DirtyLog;
  readonly irqfds: Irqfds;

  /** `clock`: another time than the one that the VM's options ask for. */
  constructor(shared: SoftVmHandle, clock: Clock = clockOf(shared)) {
    const { machine } = shared;
    this.shared = shared;
    this.options = shared.options;
    this.keptPlace = shared.keptPlace;
    this.core = shared.core;
    this.machine = machine;
    this.clock = clock;
    this.guestClock = clock instanceof InstructionClock ? clock : undefined;
    this.memory = guestMemoryOf(machine);
    this.memoryFd = machine.fd;
    this.signals = shared.calls.map((fd, id) => new VcpuSignals(machine.memory.buffer, id, new EventFd(fd)));
    const words = new Int32Array(machine.memory.buffer);
    this.codeWrites = new CodeWrites(words, new CodeMap(words));
    this.dirtyLog = new DirtyLog(machine, () => this.#flushTlbs());
    this.windows = attachWindows(machine, shared.windows, this.codeWrites, () => this.#flushTlbs());
    this.trackedMemory = this.#trackedMemory();
    this.ioEvents = new IoEvents(shared.ioEvents);
    const notify = (vcpu: number) => this.signals[vcpu]!.notify();
    this.irqchip = new SoftIrqchip(irqchipStates(shared.irqchip, machine.cpus), {
      clock: this.clock,
      notifier: { notify },
      // A PIT that was programmed by another vCPU's thread is ticked by vCPU 0.
      rearm: () => notify(0),
      onEndOfInterrupt: (pin) => this.irqfds.ended(pin),
    });
    const wires = new WiredOr(new WiredOrState(shared.wires), this.irqchip);
    const lines = (source: number) => Array.from({ length: IOAPIC_PINS }, (_, gsi) => wires.line(gsi, source));
    this.interrupts = interruptsOf(this.irqchip, lines(MACHINE_SOURCE));
    this.irqfds = new Irqfds(shared.irqfds, this.irqchip, lines(IRQFD_SOURCE));
  }

  kick(id: number): void {
    const signals = this.signals[id];
    if (signals === undefined) throw new RangeError(`there is no vCPU ${id}`);
    signals.kick();
  }

  addIrqfd(fd: number, gsi: number, route?: MsiRoute, resampleFd?: number): void {
    this.irqfds.add(fd, gsi, route, resampleFd);
  }

  removeIrqfd(fd: number, gsi: number): void {
    this.irqfds.remove(fd, gsi);
  }

  setMsiRoute(gsi: number, route: MsiRoute | undefined): void {
    this.irqfds.setRoute(gsi, route);
  }

  addIoEvent(event: IoEvent): void {
    this.ioEvents.add(event);
  }

  removeIoEvent(event: IoEvent): void {
    this.ioEvents.remove(event);
  }

  supportedCpuid(): CpuidEntry[] {
    return defaultCpuid({ id: 0, vcpus: this.machine.cpus, tscKhz: TSC_KHZ });
  }

  /** The state of the interrupt controllers, without what guards it. */
  deviceStates(): ReadonlyMap<string, Uint8Array> {
    const { pic, pit, ioapic, lapics } = irqchipStates(this.shared.irqchip, this.machine.cpus);
    const wires = new WiredOrState(this.shared.wires);
    const states = { pic, pit, ioapic, wires, ...Object.fromEntries(lapics.map((lapic, id) => [`lapic${id}`, lapic])) };
    return new Map(Object.entries(states).map(([name, { contents }]) => [name, contents]));
  }

  #trackedMemory(): PhysicalMemory {
    return {
      contains: (gpa, length) => this.memory.contains(gpa, length),
      write: (gpa, bytes) => {
        this.memory.write(gpa, bytes);
        this.dirtyLog.mark(gpa, bytes.length);
        this.codeWrites.hostWrote(gpa, bytes.length);
      },
    };
  }

  #flushTlbs(): boolean {
    return this.signals.map((signals) => signals.flushTlb(FLUSH_TIMEOUT)).every((done) => done);
  }
}

function clockOf({ options, machine, clockOrigin }: SoftVmHandle): Clock {
  return options.seed === undefined ? new HostClock(clockOrigin) : new InstructionClock(machine.memory.buffer);
}

function interruptsOf(irqchip: SoftIrqchip, lines: readonly InterruptLine[]): InterruptController {
  return {
    setLine: (gsi, level) => {
      const line = lines[gsi];
      if (line === undefined) throw new RangeError(`there is no GSI ${gsi}`);
      line.set(level);
    },
    signalMsi: (address, data) => irqchip.signalMsi(address, data),
  };
}
