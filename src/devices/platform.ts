import * as at from '../arch/x86_64/platform.ts';
import type { InterruptController } from '../hypervisor/hypervisor.ts';
import { IsaIrqchip } from '../irqchip/isa-irqchip.ts';
import { BarAllocator } from '../pci/bar-allocator.ts';
import type { ConfigSpec } from '../pci/config-space.ts';
import { HostBridge } from '../pci/host-bridge.ts';
import { PciRoot } from '../pci/pci-root.ts';
import { VIRTIO_BAR_SIZE } from '../pci/virtio-pci/layout.ts';
import { VirtioPci, type VirtioPciDeps, type VirtioPciSpec } from '../pci/virtio-pci/virtio-pci.ts';
import { AcpiPm } from './acpi-pm.ts';
import { Bus, type BusDevice } from './bus.ts';
import { Cmos } from './cmos.ts';
import { DebugConsole } from './debug-console.ts';
import type { ByteSink, Clock, ExitReason, InterruptLine, TimedDevice } from './device.ts';
import { I8042, I8042_COMMAND } from './i8042.ts';
import { NullDevice } from './null-device.ts';
import { type PlatformStates, platformStates } from './platform-state.ts';
import { PVPANIC_BAR_SIZE, Pvpanic } from './pvpanic.ts';
import { SystemControlA } from './reset-ports.ts';
import { Serial } from './serial.ts';
import { TimerGroup } from './timer-group.ts';
import { WiredOr } from './wired-or.ts';

const SYSTEM_CONTROL_PORT_A = 0x92;
const KEYBOARD_IRQ = 1;

/** The last slot of bus 0, out of the way of the devices that a user adds. */
const PVPANIC_SLOT = 31;

/** A virtio device on the PCI bus: what it is, and what stands behind it. */
export interface VirtioFunction extends Omit<VirtioPciDeps, 'address' | 'sharedMemoryAddress' | 'interrupt'> {
  /** Its device number on bus 0, 1-30. */
  readonly slot: number;
  readonly spec: VirtioPciSpec;
}

/** Where BARs for I/O ports can be: behind the PM block. */
const PORT_BARS_START = 0xc100;

/** Sources of the shared wires; a PCI device is FIRST_PCI_SOURCE + its slot. */
const FIRST_SERIAL_SOURCE = 0;
const RTC_SOURCE = 4;
const SCI_SOURCE = 5;
const KEYBOARD_SOURCE = 6;
const FIRST_PCI_SOURCE = 8;

/**
 * Where the interrupt controllers are:
 * - kernel: all in the hypervisor
 * - split: PIC, PIT and IOAPIC here; `signalMsi` and `onExtInt` (the PIC's INT wire) reach the LAPICs in the hypervisor
 */
export type IrqchipOptions =
  | { readonly kind: 'kernel'; readonly interrupts: InterruptController }
  | {
      readonly kind: 'split';
      readonly signalMsi: (address: number, data: number) => void;
      readonly onExtInt: (level: boolean) => void;
      /** What an unmasked pin of the IOAPIC sends from now on, for the LAPICs to report ends of interrupt. */
      readonly onRoute: (pin: number, address: number, data: number) => void;
    };

export interface PlatformDeps {
  readonly clock: Clock;
  readonly irqchip: IrqchipOptions;
  /** Sinks for COM1 to COM4; a port without one does not exist. */
  readonly serials: readonly (ByteSink | undefined)[];
  /** In the same order on every thread. */
  readonly virtio?: readonly VirtioFunction[];
  /** Where the text of the debug console goes; left out, there is none. */
  readonly debugConsole?: ByteSink;
  /** Bytes of RAM below and above 4 GiB. */
  readonly memoryBelow4G: number;
  readonly memoryAbove4G: number;
  /** The window of 64-bit BARs, if there is one. */
  readonly highMmio?: { readonly start: number; readonly length: number };
  /** The guest ended itself. Called on the thread that noticed, with locks held: pass it on and return. */
  readonly onExit: (reason: ExitReason) => void;
  /** The guest asked for S1; `acpiPm.wake()` ends it. Called like `onExit`; without it S1 ends at once. */
  readonly onSuspend?: () => void;
  /** Serial port `index` has room for input again; called like `onExit`. */
  readonly onInputRoom?: (index: number) => void;
  /** A deadline of `timers` may have come nearer; called like `onExit`. */
  readonly rearm?: () => void;
}

/**
 * All devices of the PC platform, on their buses. The state is in `buffer` (`platformByteLength` bytes, zero at
 * the start); every thread builds a Platform over the same buffer and with options that differ only in callbacks.
 */
export class Platform {
  readonly ports = new Bus();
  readonly mmio = new Bus();
  /** Interrupt entry points of whichever controller there is. */
  readonly interrupts: InterruptController;
  /** PIC, PIT and IOAPIC, with a split irqchip. */
  readonly isaIrqchip: IsaIrqchip | undefined;
  /** COM1 to COM4. */
  readonly serials: readonly (Serial | undefined)[];
  readonly cmos: Cmos;
  readonly acpiPm: AcpiPm;
  readonly pci: PciRoot;
  /** In the order of the options. */
  readonly virtio: readonly VirtioPci[];
  /** 32-bit BARs. Allocate in the same order on every thread. */
  readonly lowMmio = new BarAllocator(at.LOW_MMIO_START, at.LOW_MMIO_END, 'the memory window below 4 GiB');
  /** 64-bit BARs, likewise. */
  readonly highMmio: BarAllocator;
  /** RTC and, where it is ours, PIT: whoever keeps time calls `tick` at `deadline`. LAPIC timers are the vCPUs' own. */
  readonly timers: TimedDevice;
  readonly #wires: WiredOr;

  constructor(buffer: SharedArrayBuffer, deps: PlatformDeps) {
    const states = platformStates(buffer, deps.virtio?.length);
    const { irqchip, highMmio = { start: 0, length: 0 } } = deps;
    this.highMmio = new BarAllocator(highMmio.start, highMmio.start + highMmio.length, 'the memory window above RAM');
    if (irqchip.kind === 'kernel') {
      this.interrupts = irqchip.interrupts;
    } else {
      this.isaIrqchip = new IsaIrqchip(states, { ...deps, ...irqchip });
      this.isaIrqchip.insertInto(this.ports, this.mmio);
      this.interrupts = this.isaIrqchip;
    }
    this.#wires = new WiredOr(states.wires, this.interrupts);
    this.serials = this.#addSerials(states, deps);
    this.cmos = this.#addCmos(states, deps);
    this.acpiPm = this.#addAcpiPm(states, deps);
    this.#addPorts(states, deps);
    this.pci = this.#addPci(states, deps);
    this.virtio = (deps.virtio ?? []).map((device, i) => this.#addVirtio(states.virtio[i]!, device));
    this.timers = new TimerGroup(this.isaIrqchip === undefined ? [this.cmos] : [this.cmos, this.isaIrqchip.pit]);
  }

  /** INTA# of the PCI device in `slot`, for its configuration space. */
  pciInterrupt(slot: number): NonNullable<ConfigSpec['interrupt']> {
    const irq = at.pciIntxIrq(slot, 0);
    return { pin: 1, irq, line: this.#wires.line(irq, FIRST_PCI_SOURCE + slot) };
  }

  #addVirtio(states: PlatformStates['virtio'][number], { slot, spec, ...deps }: VirtioFunction): VirtioPci {
    const address = this.lowMmio.allocate(VIRTIO_BAR_SIZE);
    const sharedMemoryAddress = spec.sharedMemory && this.highMmio.allocate(spec.sharedMemory.size);
    const interrupt = this.pciInterrupt(slot);
    const device = new VirtioPci(states, spec, { ...deps, address, sharedMemoryAddress, interrupt });
    this.pci.add(slot, 0, device);
    return device;
  }

  #addSerials(states: PlatformStates, deps: PlatformDeps): (Serial | undefined)[] {
    return at.SERIAL_PORTS.map(({ port, irq }, index) => {
      const output = deps.serials[index];
      if (output === undefined) return undefined;
      const interrupt = this.#wires.line(irq, FIRST_SERIAL_SOURCE + index);
      const inputRoom = () => deps.onInputRoom?.(index);
      const serial = new Serial(states.serials[index]!, { interrupt, output, inputRoom });
      this.ports.insert(serial, port, at.SERIAL_LENGTH);
      return serial;
    });
  }

  #addCmos(states: PlatformStates, deps: PlatformDeps): Cmos {
    const interrupt: InterruptLine = this.#wires.line(at.RTC_IRQ, RTC_SOURCE);
    const cmos = new Cmos(states.cmos, { ...deps, interrupt });
    this.ports.insert(cmos, at.CMOS_PORT, at.CMOS_LENGTH);
    return cmos;
  }

  #addAcpiPm(states: PlatformStates, deps: PlatformDeps): AcpiPm {
    const interrupt = this.#wires.line(at.SCI_IRQ, SCI_SOURCE);
    const acpiPm = new AcpiPm(states.acpiPm, { ...deps, interrupt, onPowerOff: () => deps.onExit('powered off') });
    this.ports.insert(acpiPm, at.PM_PORT, at.PM_LENGTH);
    return acpiPm;
  }

  #addPorts(states: PlatformStates, deps: PlatformDeps): void {
    const onReset = () => deps.onExit('reset');
    const i8042 = new I8042(states.i8042, this.#wires.line(KEYBOARD_IRQ, KEYBOARD_SOURCE), onReset);
    this.ports.insert(i8042, at.I8042_DATA_PORT, 1);
    this.ports.insert(shifted(i8042, I8042_COMMAND), at.I8042_COMMAND_PORT, 1);
    this.ports.insert(new SystemControlA(states.systemControlA, onReset), SYSTEM_CONTROL_PORT_A, 1);
    for (const { port, length } of at.NULL_PORTS) this.ports.insert(new NullDevice(), port, length);
    if (deps.debugConsole !== undefined) this.ports.insert(new DebugConsole(deps.debugConsole), at.DEBUGCON_PORT, 1);
  }

  #addPci(states: PlatformStates, deps: PlatformDeps): PciRoot {
    const pci = new PciRoot(states.pciRoot, () => deps.onExit('reset'));
    this.ports.insert(pci.configPorts, at.PCI_CONFIG_PORT, at.PCI_CONFIG_LENGTH);
    this.mmio.insert(pci.ecam, at.ECAM_ADDRESS, at.ECAM_LENGTH);
    this.mmio.insert(pci.memoryWindow(at.LOW_MMIO_START), at.LOW_MMIO_START, at.LOW_MMIO_END - at.LOW_MMIO_START);
    this.ports.insert(pci.portWindow(PORT_BARS_START), PORT_BARS_START, at.DYNAMIC_PORTS_END - PORT_BARS_START);
    const { highMmio } = deps;
    if (highMmio !== undefined) {
      this.mmio.insert(pci.memoryWindow(highMmio.start), highMmio.start, highMmio.length);
    }
    pci.add(0, 0, new HostBridge(states.hostBridge));
    const onPanic = () => deps.onExit('panic');
    pci.add(PVPANIC_SLOT, 0, new Pvpanic(states.pvpanic, this.lowMmio.allocate(PVPANIC_BAR_SIZE), onPanic));
    return pci;
  }
}

/** `device` as seen from `by` bytes further on. */
function shifted(device: BusDevice, by: number): BusDevice {
  return {
    read: (offset, data) => device.read(offset + by, data),
    write: (offset, data) => device.write(offset + by, data),
  };
}
