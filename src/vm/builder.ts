/** Puts a VM together: memory, hypervisor, devices and the guest's first state. */
import type { Log } from '../log.ts';
import type { VmConfig } from './config.ts';
import { guestMemoryLayout, loadGuest } from './guest.ts';
import { openGuestFiles } from './guest-files.ts';
import { chooseHypervisor, loadHypervisor } from './hypervisors.ts';
import { allocateMachine, attachMachine } from './machine.ts';
import type { RunState } from './run-state.ts';
import type { VmParts } from './running-vm.ts';
import { closeSerialTarget, openSerialTarget } from './serial-backends.ts';
import type { SerialPortConfig } from './serial-ports.ts';

/** A VM whose threads have not been started. */
export type BuiltVm = Pick<VmParts, 'vm' | 'machine' | 'starts'>;

/** Throws a `CrosvmError` if the VM cannot be; `resources` gives back what has been taken. */
export async function buildVm(
  config: VmConfig,
  ports: readonly SerialPortConfig[],
  runState: RunState,
  log: Log,
  resources: DisposableStack,
): Promise<BuiltVm> {
  // The files are needed only until the guest is loaded.
  using opened = new DisposableStack();
  const files = openGuestFiles(config, opened);
  const serial = ports.map((port) => resources.adopt(openSerialTarget(port), closeSerialTarget));

  const choice = chooseHypervisor(config.hypervisor, config.kvmDevice);
  log('debug', `running on ${choice.kind === 'kvm' ? `KVM (${choice.device})` : 'the software CPU'}`);
  const hypervisor = await loadHypervisor(choice);
  const { cpus } = config;
  const irqchip = config.splitIrqchip ? 'split' : (config.irqchip ?? 'kernel');
  const vm = hypervisor.createVm({ memory: guestMemoryLayout(config, files), cpus, irqchip });
  resources.defer(() => vm.close());

  const setups = loadGuest(config, files, ports, vm.memory);
  const handle = allocateMachine(cpus, serial);
  const machine = attachMachine(handle, vm, {
    // On this thread only input and timers reach the devices, and neither ends a VM or makes room.
    end: (reason) => runState.end(reason),
    isEnding: () => runState.reason !== undefined,
    inputRoom: () => {},
    rearm: () => {},
  });
  const starts = setups.map((setup, id) => ({
    hypervisor: choice,
    handle: vm.handle(id),
    machine: handle,
    runState: runState.buffer,
    setup,
  }));
  return { vm, machine, starts };
}
