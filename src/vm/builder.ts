/** Puts a VM together: memory, hypervisor, devices and the guest's first state. */
import { physicalAddressBits } from '../arch/x86_64/cpuid.ts';
import { highMmio, ramLayout } from '../arch/x86_64/memory-map.ts';
import type { SoftOptions } from '../hypervisor/hypervisor.ts';
import { jitThreshold, type VmConfig } from './config.ts';
import { guestMemoryLayout, loadGuest } from './guest.ts';
import { openGuestFiles } from './guest-files.ts';
import { type HypervisorChoice, loadHypervisor } from './hypervisors.ts';
import { attachMachine, createMachine } from './machine.ts';
import type { RunState } from './run-state.ts';
import type { VmParts } from './running-vm.ts';
import type { PortScript } from './scripted-input.ts';
import { closeSerialTarget, openSerialTarget } from './serial-backends.ts';
import type { SerialPortConfig } from './serial-ports.ts';

const MIB = 1 << 20;

/** A VM whose threads have not been launched. */
export type BuiltVm = Pick<VmParts, 'vm' | 'machine' | 'starts'>;

export interface BuildOptions {
  /** Input that a deterministic machine gets. */
  readonly scripts?: readonly PortScript[];
  /** How the software CPU works, where that is not for the configuration to say. */
  readonly soft?: SoftOptions;
}

/** Throws a `CrosvmError` if the VM cannot be; `resources` gives back what has been taken. */
export async function buildVm(
  config: VmConfig,
  choice: HypervisorChoice,
  ports: readonly SerialPortConfig[],
  runState: RunState,
  resources: DisposableStack,
  { scripts = [], soft }: BuildOptions = {},
): Promise<BuiltVm> {
  // The files are needed only until the guest is loaded.
  using opened = new DisposableStack();
  const files = openGuestFiles(config, opened);
  const serial = ports.map((port) => resources.adopt(openSerialTarget(port), closeSerialTarget));

  const { cpus } = config;
  const hypervisor = await loadHypervisor(choice);
  const split = choice.kind === 'kvm' && (config.splitIrqchip || config.irqchip === 'split');
  const irqchip = split ? 'split' : 'kernel';
  const ramSize = config.mem * MIB;
  const ram = ramLayout(ramSize);
  const memory = guestMemoryLayout(ram, files);
  const softOptions = { jitThreshold: jitThreshold(config), ...soft, seed: config.deterministic };
  const vm = hypervisor.createVm({ memory, cpus, irqchip, soft: softOptions });
  resources.defer(() => vm.close());

  const addressBits = physicalAddressBits(vm.supportedCpuid());
  const entry = loadGuest(config, files, ports, vm.memory, { ramSize, addressBits });
  const handle = createMachine({ cpus, irqchip, ram, highMmio: highMmio(ramSize, addressBits), serial });
  const machine = attachMachine(handle, vm, {
    vcpu: undefined,
    // Only input and timers reach the devices on this thread, and neither of them does any of this.
    end: (reason) => runState.end(reason),
    isEnding: () => runState.reason !== undefined,
    inputRoom: () => {},
    rearm: () => {},
  });
  const starts = Array.from({ length: cpus }, (_, id) => ({
    handle: vm.handle(id),
    machine: handle,
    runState: runState.buffer,
    setup: { cpus, entry: id === 0 ? entry : undefined },
    scripts,
  }));
  return { vm, machine, starts };
}
