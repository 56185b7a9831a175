/** Puts a VM together: memory, hypervisor, devices and the guest's first state. */
import { physicalAddressBits } from '../arch/x86_64/cpuid.ts';
import { highMmio, ramLayout } from '../arch/x86_64/memory-map.ts';
import { FIRST_MSI_GSI } from '../arch/x86_64/platform.ts';
import { jailOptions } from '../cli/options/sandbox.ts';
import type { SoftOptions } from '../hypervisor/hypervisor.ts';
import type { Log } from '../log.ts';
import type { VirtioDeviceName } from '../virtio/device-types.ts';
import { jitThreshold, keptCodeFolder, type VmConfig } from './config.ts';
import { JailLauncher } from './devices/jail-launcher.ts';
import { type DevicePlan, planDevices } from './devices/plan.ts';
import { openPmemFiles, pmemSpec } from './devices/pmem.ts';
import { startDevice } from './devices/start-device.ts';
import { threadLauncher } from './devices/thread-launcher.ts';
import type { VirtioDeviceHandle } from './devices/virtio-device.ts';
import type { ManagedDevice } from './devices/vm-device.ts';
import { guestCommandLine, guestMemoryLayout, loadGuest } from './guest.ts';
import { openGuestFiles } from './guest-files.ts';
import { type HypervisorChoice, loadHypervisor } from './hypervisors.ts';
import { attachMachine, createMachine } from './machine.ts';
import { rootShareInitrd } from './root-share-initrd.ts';
import type { RunState } from './run-state.ts';
import type { VmParts } from './running-vm.ts';
import type { PortScript } from './scripted-input.ts';
import { closeSerialTarget, openSerialTarget } from './serial-backends.ts';
import type { SerialPorts } from './serial-ports.ts';
import { VmWindows } from './windows.ts';

/** Devices that a guest executes code from as they have put it into memory. What others bring the CPU copies first. */
const CODE_SOURCES: readonly VirtioDeviceName[] = ['block', 'scsi', 'fs', '9p'];

const MIB = 1 << 20;

/** A VM whose threads have not been launched. */
export type BuiltVm = Pick<VmParts, 'vm' | 'windowNames' | 'machine' | 'starts' | 'devices'>;

export interface BuildOptions {
  /** Gets what devices have to say. */
  readonly log?: Log;
  /** Input that a deterministic machine gets. */
  readonly scripts?: readonly PortScript[];
  /** How the software CPU works, where that is not for the configuration to say. */
  readonly soft?: SoftOptions;
}

/** Throws a `CrosvmError` if the VM cannot be; `resources` gives back what has been taken. */
export async function buildVm(
  config: VmConfig,
  choice: HypervisorChoice,
  ports: SerialPorts,
  runState: RunState,
  resources: DisposableStack,
  { scripts = [], soft, log = () => {} }: BuildOptions = {},
): Promise<BuiltVm> {
  // The files are needed only until the guest is loaded.
  using opened = new DisposableStack();
  const given = openGuestFiles(config, opened);
  const initrd = given.initrd ?? rootShareInitrd(config, given.kernel, guestCommandLine(config, ports), log);
  const files = { ...given, initrd };
  const ramSize = config.mem * MIB;
  const pmem = openPmemFiles(config.pmem, ramSize, resources);
  // They come up while the rest is made.
  const devices = await startDevices(config, planDevices(config, pmem.map(pmemSpec)), log, resources);
  const serial = ports.com.map((port) => resources.adopt(openSerialTarget(port), closeSerialTarget));

  const { cpus } = config;
  const hypervisor = await loadHypervisor(choice);
  const split = choice.kind === 'kvm' && (config.splitIrqchip || config.irqchip === 'split');
  const irqchip = split ? 'split' : 'kernel';
  const windows = await VmWindows.of(pmem, devices);
  const ram = ramLayout(ramSize);
  const memory = guestMemoryLayout(ram, files);
  const vm = hypervisor.createVm({
    memory,
    windows: windows.options,
    cpus,
    irqchip,
    hasExternalWriters: devices.some(({ plan }) => CODE_SOURCES.includes(plan.type)),
    soft: {
      jitThreshold: jitThreshold(config),
      keptCode: keptCodeFolder(config),
      ...soft,
      seed: config.deterministic,
    },
  });
  resources.defer(() => vm.close());

  const addressBits = physicalAddressBits(vm.supportedCpuid());
  const { fileRanges } = windows;
  const entry = loadGuest(config, files, ports, vm.memory, { ramSize, files: fileRanges, addressBits });
  windows.mapFiles(vm);
  const connected = await connectDevices(devices, windows, log);
  const handle = createMachine({
    cpus,
    irqchip,
    ram,
    highMmio: highMmio(ramSize, addressBits, fileRanges),
    serial,
    virtio: connected.map(({ handle }) => handle),
  });
  const machine = attachMachine(handle, vm, {
    vcpu: undefined,
    // Only input and timers reach the devices on this thread, and neither of them does any of this.
    end: (reason) => runState.end(reason),
    isEnding: () => runState.reason !== undefined,
    inputRoom: () => {},
    rearm: () => {},
    warn: (sentence) => log('warn', sentence),
  });
  for (const [i, { device, link }] of machine.virtio.entries()) {
    const { window } = connected[i]!.handle;
    connected[i]!.device.watch(device, link, window === undefined ? undefined : vm.windows[window]);
  }
  const starts = Array.from({ length: cpus }, (_, id) => ({
    handle: vm.handle(id),
    machine: handle,
    runState: runState.buffer,
    setup: { cpus, entry: id === 0 ? entry : undefined },
    scripts,
  }));
  return { vm, windowNames: windows.names, machine, starts, devices: connected.map(({ device }) => device) };
}

async function startDevices(
  config: VmConfig,
  plans: readonly DevicePlan[],
  log: Log,
  resources: DisposableStack,
): Promise<ManagedDevice[]> {
  const launcher = config.disableSandbox
    ? threadLauncher
    : resources.adopt(new JailLauncher(jailOptions(config)), (own) => void own.close());
  const devices: ManagedDevice[] = [];
  for (const plan of plans) {
    devices.push(resources.adopt(await startDevice(plan, launcher, log), (device) => void device.close()));
  }
  return devices;
}

interface ConnectedDevice {
  readonly device: ManagedDevice;
  readonly handle: VirtioDeviceHandle;
}

/**
 * Each device has as many GSIs as it has MSI-X vectors, and a window if it shares memory. Without those that nobody asked
 * for and that cannot be.
 */
async function connectDevices(
  devices: readonly ManagedDevice[],
  windows: VmWindows,
  log: Log,
): Promise<ConnectedDevice[]> {
  const connected: ConnectedDevice[] = [];
  let firstGsi = FIRST_MSI_GSI;
  for (const device of devices) {
    try {
      const handle = await device.connect({ firstGsi, ...windows.placeOf(device) });
      firstGsi += handle.backEnd.wiring.vectors.length;
      connected.push({ device, handle });
    } catch (error) {
      if (device.plan.optional !== true) throw error;
      log('warn', `${(error as Error).message}; the VM goes on without it`);
    }
  }
  return connected;
}
