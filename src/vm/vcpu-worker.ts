/**
 * The thread of one vCPU. It loads its program while the main thread prepares the guest, is then told what to run,
 * waits for the start, and runs the guest until the VM ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ExitReason } from '../devices/device.ts';
import { CrosvmError } from '../errors.ts';
import type { Hypervisor, Vcpu, VcpuBuses, VcpuExit, VcpuHandle } from '../hypervisor/hypervisor.ts';
import { type HypervisorChoice, loadHypervisor } from './hypervisors.ts';
import { attachMachine, type MachineHandle } from './machine.ts';
import { RunState } from './run-state.ts';
import { setUpVcpu, type VcpuSetup } from './vcpu-setup.ts';

/** What a thread is told to run. */
export interface VcpuStart {
  readonly handle: VcpuHandle;
  readonly machine: MachineHandle;
  readonly runState: SharedArrayBuffer;
  readonly setup: VcpuSetup;
}

/** What a thread tells the main thread. */
export type VcpuThreadMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'rearm' }
  | { readonly type: 'room'; readonly num: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

const post = (message: VcpuThreadMessage) => parentPort!.postMessage(message);

const hypervisor = await loadHypervisor(workerData as HypervisorChoice);
parentPort!.once('message', (start: VcpuStart) => {
  try {
    new VcpuThread(hypervisor, start).run();
  } catch (error) {
    const code = error instanceof CrosvmError ? error.code : 'E_INTERNAL';
    const message = error instanceof CrosvmError ? error.message : String((error as Error).stack ?? error);
    post({ type: 'failed', code, message });
  }
});

class VcpuThread {
  readonly #start: VcpuStart;
  readonly #vcpu: Vcpu;
  readonly #state: RunState;

  constructor(hypervisor: Hypervisor, start: VcpuStart) {
    this.#start = start;
    this.#state = new RunState(start.runState);
    this.#vcpu = hypervisor.attachVcpu(start.handle);
  }

  /** Blocks until the VM ends. */
  run(): void {
    const vcpu = this.#vcpu;
    try {
      const machine = attachMachine(this.#start.machine, vcpu.vm, {
        vcpu: vcpu.id,
        end: (reason) => this.#end(reason),
        isEnding: () => this.#state.reason !== undefined,
        inputRoom: (num) => post({ type: 'room', num }),
        rearm: () => post({ type: 'rearm' }),
      });
      setUpVcpu(vcpu, this.#start.setup);
      post({ type: 'ready' });
      this.#state.waitForStart();
      this.#runGuest(machine.buses);
    } finally {
      vcpu.close();
    }
  }

  #runGuest(buses: VcpuBuses): void {
    while (this.#state.reason === undefined) this.#handle(this.#vcpu.run(buses));
  }

  #handle(exit: VcpuExit): void {
    switch (exit.reason) {
      case 'kicked':
      case 'debug':
        return;
      case 'halted':
        // Without a local interrupt controller nothing can wake this vCPU any more.
        this.#state.waitForEnd();
        return;
      case 'shutdown':
        this.#end('crash');
        return;
      case 'system':
        this.#end(exit.event === 'shutdown' ? 'powered off' : exit.event);
        return;
      case 'error':
        throw new CrosvmError('E_VCPU', `vCPU ${this.#vcpu.id} cannot go on: ${exit.detail}`);
    }
  }

  /** Ends the VM from within: all vCPUs leave their guests, this one after the access that it is in the middle of. */
  #end(reason: ExitReason): void {
    if (!this.#state.end(reason)) return;
    for (let id = 0; id < this.#start.machine.cpus; id++) this.#vcpu.vm.kick(id);
  }
}
