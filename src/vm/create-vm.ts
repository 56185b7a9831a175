/** Creates VMs: what a program that embeds the VMM calls. */
import type { Log } from '../log.ts';
import { completeConfig, hypervisorOption, type VmConfigInput } from './config.ts';
import { chooseHypervisor } from './hypervisors.ts';
import type { RunningVm } from './running-vm.ts';
import { VcpuThreads } from './vcpu-threads.ts';

export interface VmHost {
  /** Gets what the VM has to say; nothing is written anywhere without it. */
  readonly log?: Log;
  /** Ends the wait for the end of standard input, which a deterministic guest starts after. */
  readonly abort?: AbortSignal;
}

/**
 * Creates a VM and starts its guest. Throws a `CrosvmError` if the configuration cannot be carried out; nothing is left
 * behind then.
 */
export async function createVm(input: VmConfigInput, host: VmHost = {}): Promise<RunningVm> {
  const config = completeConfig(input);
  const log = host.log ?? (() => {});
  const choice = chooseHypervisor(hypervisorOption(config), config.kvmDevice);
  log('debug', `running on ${choice.kind === 'kvm' ? `KVM (${choice.device})` : 'the software CPU'}`);
  // The threads load their program while this one loads its own, which is most of the time that a start takes.
  await using starting = new AsyncDisposableStack();
  const threads = starting.adopt(new VcpuThreads(choice, config.cpus), (started) => started.discard());
  const { startVm } = await import('./start-vm.ts');
  const vm = await startVm(config, choice, threads, host);
  starting.move();
  return vm;
}
