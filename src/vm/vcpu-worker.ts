/** The thread of one vCPU: attaches, waits for the start, and runs the guest until the VM ends. */
import { parentPort, workerData } from 'node:worker_threads';
import type { ExitReason } from '../devices/device.ts';
import { CrosvmError } from '../errors.ts';
import type { Vcpu, VcpuBuses, VcpuExit, VcpuHandle } from '../hypervisor/hypervisor.ts';
import { type HypervisorChoice, loadHypervisor } from './hypervisors.ts';
import { attachMachine, type MachineHandle } from './machine.ts';
import { RunState } from './run-state.ts';
import { setUpVcpu, type VcpuSetup } from './vcpu-setup.ts';

/** What a thread is started with. */
export interface VcpuStart {
  readonly hypervisor: HypervisorChoice;
  readonly handle: VcpuHandle;
  readonly machine: MachineHandle;
  readonly runState: SharedArrayBuffer;
  readonly setup: VcpuSetup;
}

/** What a thread tells the main thread. */
export type VcpuThreadMessage =
  | { readonly type: 'ready' | 'rearm' }
  | { readonly type: 'room'; readonly num: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

const start = workerData as VcpuStart;
const state = new RunState(start.runState);
const post = (message: VcpuThreadMessage) => parentPort!.postMessage(message);

try {
  await run();
} catch (error) {
  const code = error instanceof CrosvmError ? error.code : 'E_INTERNAL';
  const message = error instanceof CrosvmError ? error.message : String((error as Error).stack ?? error);
  post({ type: 'failed', code, message });
}

async function run(): Promise<void> {
  const hypervisor = await loadHypervisor(start.hypervisor);
  const vcpu = hypervisor.attachVcpu(start.handle);
  try {
    const machine = attachMachine(start.machine, vcpu.vm, {
      vcpu: vcpu.id,
      end: (reason) => endVm(vcpu, reason),
      isEnding: () => state.reason !== undefined,
      inputRoom: (num) => post({ type: 'room', num }),
      rearm: () => post({ type: 'rearm' }),
    });
    setUpVcpu(vcpu, start.setup);
    post({ type: 'ready' });
    state.waitForStart();
    runGuest(vcpu, machine.buses);
  } finally {
    vcpu.close();
  }
}

function runGuest(vcpu: Vcpu, buses: VcpuBuses): void {
  while (state.reason === undefined) handleExit(vcpu, vcpu.run(buses));
}

function handleExit(vcpu: Vcpu, exit: VcpuExit): void {
  switch (exit.reason) {
    case 'kicked':
    case 'debug':
      return;
    case 'halted':
      // Without a local interrupt controller nothing can wake this vCPU any more.
      state.waitForEnd();
      return;
    case 'shutdown':
      endVm(vcpu, 'crash');
      return;
    case 'system':
      endVm(vcpu, exit.event === 'shutdown' ? 'powered off' : exit.event);
      return;
    case 'error':
      throw new CrosvmError('E_VCPU', `vCPU ${vcpu.id} cannot go on: ${exit.detail}`);
  }
}

/** Ends the VM from within: the other vCPUs, and this one if it is in the middle of an exit, leave their guests. */
function endVm(vcpu: Vcpu, reason: ExitReason): void {
  if (!state.end(reason)) return;
  for (let id = 0; id < start.machine.cpus; id++) vcpu.vm.kick(id);
}
