/** The machine around the vCPUs, as each thread sees it: the platform's devices over state that all threads share. */
import type { AddressRange } from '../arch/x86_64/memory-map.ts';
import { FOUR_GIB } from '../arch/x86_64/memory-map.ts';
import { HostClock } from '../base/clock.ts';
import type { Clock, ExitReason, TimedDevice } from '../devices/device.ts';
import { type IrqchipOptions, Platform } from '../devices/platform.ts';
import { platformByteLength, platformStates } from '../devices/platform-state.ts';
import type { Serial } from '../devices/serial.ts';
import { TimerGroup } from '../devices/timer-group.ts';
import type { IrqchipKind, VcpuBuses, VmAccess } from '../hypervisor/hypervisor.ts';
import type { VirtioPci } from '../pci/virtio-pci/virtio-pci.ts';
import { attachVirtioDevice, type DeviceLink, type VirtioDeviceHandle } from './devices/virtio-device.ts';
import { attachSerialTarget, type SerialTarget } from './serial-backends.ts';

export interface MachineConfig {
  readonly cpus: number;
  /** 'kernel' for all interrupt controllers in the hypervisor, whichever it is. */
  readonly irqchip: IrqchipKind;
  /** RAM as `ramLayout` gives it, and the window for 64-bit BARs. */
  readonly ram: readonly AddressRange[];
  readonly highMmio: AddressRange;
  /** Where COM1 to COM4 send their output. */
  readonly serial: readonly SerialTarget[];
  readonly virtio: readonly VirtioDeviceHandle[];
}

/** What a thread needs to attach to the machine: survives structured clone. */
export interface MachineHandle extends MachineConfig {
  readonly state: SharedArrayBuffer;
  readonly clockOrigin: number;
}

/** How the devices reach the rest of the VM from this thread. Called with locks held: pass it on and return. */
export interface MachineLink {
  /** The vCPU that this thread runs; undefined on the main thread. */
  readonly vcpu: number | undefined;
  end(reason: ExitReason): void;
  isEnding(): boolean;
  /** Serial port `num` (1-4) takes input again. */
  inputRoom(num: number): void;
  /** A deadline of `timers` may have come nearer. */
  rearm(): void;
  /** Something that whoever runs the VM should know. */
  warn(sentence: string): void;
}

export interface Machine {
  readonly clock: Clock;
  /** COM1 to COM4. */
  readonly serials: readonly (Serial | undefined)[];
  /** A request to the guest to shut itself down. */
  pressPowerButton(): void;
  /** In the order of the configuration, with what leads to their back ends. */
  readonly virtio: readonly { readonly device: VirtioPci; readonly link: DeviceLink }[];
  /** RTC and, with a split irqchip, PIT: the main thread ticks them, or the vCPU of a deterministic VM. */
  readonly timers: TimedDevice;
  /** Where the exits of this thread's vCPU go. */
  readonly buses: VcpuBuses;
}

export function createMachine(config: MachineConfig): MachineHandle {
  const state = new SharedArrayBuffer(platformByteLength(config.virtio.length));
  return { ...config, state, clockOrigin: new HostClock().origin };
}

/** The state of the machine's devices, by name; of a machine without virtio devices, as deterministic ones are. */
export function deviceStates({ state }: MachineHandle): ReadonlyMap<string, Uint8Array> {
  const { serials, virtio: _, ...singles } = platformStates(state);
  const all = { ...singles, ...Object.fromEntries(serials.map((serial, i) => [`serial${i + 1}`, serial])) };
  return new Map(Object.entries(all).map(([name, { contents }]) => [name, contents]));
}

export function attachMachine(handle: MachineHandle, vm: VmAccess, link: MachineLink): Machine {
  const { guestClock } = vm;
  const clock = guestClock ?? new HostClock(handle.clockOrigin);
  const { gpa, size } = handle.highMmio;
  const ramSize = (high: boolean) =>
    handle.ram.filter((r) => r.gpa >= FOUR_GIB === high).reduce((sum, r) => sum + r.size, 0);
  const virtio = handle.virtio.map((device) => attachVirtioDevice(device, vm, link.warn));
  const platform = new Platform(handle.state, {
    clock,
    irqchip: irqchipFor(handle, vm, link),
    serials: handle.serial.map((target) => attachSerialTarget(target, link.isEnding)),
    virtio,
    memoryBelow4G: ramSize(false),
    memoryAbove4G: ramSize(true),
    ...(size > 0 && { highMmio: { start: gpa, length: size } }),
    onExit: link.end,
    onInputRoom: (index) => link.inputRoom(index + 1),
    rearm: link.rearm,
  });
  const othersTick = guestClock !== undefined && link.vcpu === undefined;
  const timers = othersTick ? new TimerGroup([]) : platform.timers;
  return {
    clock,
    serials: platform.serials,
    pressPowerButton: () => platform.acpiPm.pressPowerButton(),
    virtio: platform.virtio.map((device, i) => ({ device, link: virtio[i]!.link })),
    timers,
    buses: busesOf(platform, handle, link),
  };
}

function irqchipFor({ irqchip }: MachineHandle, vm: VmAccess, { vcpu }: MachineLink): IrqchipOptions {
  if (irqchip === 'kernel') return { kind: 'kernel', interrupts: vm.interrupts };
  return {
    kind: 'split',
    signalMsi: (address, data) => vm.interrupts.signalMsi(address, data),
    onRoute: (pin, address, data) => vm.setMsiRoute(pin, { address, data }),
    // The PIC's INT wire leads to vCPU 0, which looks at it before it enters the guest.
    onExtInt: (level) => {
      if (level && vcpu !== 0) vm.kick(0);
    },
  };
}

function busesOf({ ports, mmio, isaIrqchip }: Platform, { irqchip }: MachineHandle, { vcpu }: MachineLink): VcpuBuses {
  if (isaIrqchip === undefined || irqchip !== 'split') return { ports, mmio };
  const { pic, ioapic } = isaIrqchip;
  const endOfInterrupt = (vector: number) => ioapic.endOfInterrupt(vector);
  if (vcpu !== 0) return { ports, mmio, endOfInterrupt };
  const externalInterrupt = { pending: () => pic.picPending(), acknowledge: () => pic.picAcknowledge() };
  return { ports, mmio, endOfInterrupt, externalInterrupt };
}
