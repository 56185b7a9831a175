/**
 * The thread of one vCPU. It loads its program while the main thread prepares the guest, is then told what to run,
 * waits for the start, and runs the guest until the VM ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ExitReason } from '../devices/device.ts';
import { CrosvmError } from '../errors.ts';
import type { Hypervisor, Vcpu, VcpuBuses, VcpuExit, VcpuHandle } from '../hypervisor/hypervisor.ts';
import { type HypervisorChoice, loadHypervisor } from './hypervisors.ts';
import { attachMachine, type Machine, type MachineHandle } from './machine.ts';
import { hashOf, machineState } from './machine-state.ts';
import { RunState } from './run-state.ts';
import { type PortScript, ScriptedInput } from './scripted-input.ts';
import { setUpVcpu, type VcpuSetup } from './vcpu-setup.ts';

/** What a thread is told to run. */
export interface VcpuStart {
  readonly handle: VcpuHandle;
  readonly machine: MachineHandle;
  readonly runState: SharedArrayBuffer;
  readonly setup: VcpuSetup;
  /** What the serial ports of a deterministic machine get. */
  readonly scripts: readonly PortScript[];
}

/** What a thread tells the main thread. */
export type VcpuThreadMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'rearm' }
  | { readonly type: 'warning'; readonly sentence: string }
  | { readonly type: 'room'; readonly num: number }
  | { readonly type: 'state'; readonly hash: string; readonly instructions: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

const post = (message: VcpuThreadMessage) => parentPort!.postMessage(message);

const hypervisor = await loadHypervisor(workerData as HypervisorChoice);
parentPort!.once('message', (start: VcpuStart | undefined) => {
  if (start === undefined) return; // there is no VM after all
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
  readonly #input: ScriptedInput | undefined;

  constructor(hypervisor: Hypervisor, start: VcpuStart) {
    this.#start = start;
    this.#state = new RunState(start.runState);
    this.#vcpu = hypervisor.attachVcpu(start.handle);
    const { deterministic } = this.#vcpu;
    if (deterministic !== undefined) {
      this.#input = new ScriptedInput(deterministic.clock, () => deterministic.rearm());
    }
  }

  /** Blocks until the VM ends. */
  run(): void {
    const vcpu = this.#vcpu;
    try {
      const machine = this.#attachMachine();
      setUpVcpu(vcpu, this.#start.setup);
      post({ type: 'ready' });
      this.#state.waitForStart();
      this.#runGuest(machine.buses);
      this.#reportState();
    } finally {
      vcpu.close();
    }
  }

  #attachMachine(): Machine {
    const { vm, id, deterministic } = this.#vcpu;
    const machine = attachMachine(this.#start.machine, vm, {
      vcpu: id,
      end: (reason) => this.#end(reason),
      isEnding: () => this.#state.reason !== undefined,
      inputRoom: (num) => {
        if (this.#input?.room(num) !== true) post({ type: 'room', num });
      },
      rearm: deterministic === undefined ? () => post({ type: 'rearm' }) : () => deterministic.rearm(),
      warn: (sentence) => post({ type: 'warning', sentence }),
    });
    if (this.#input !== undefined) {
      deterministic!.add(machine.timers);
      deterministic!.add(this.#input);
      for (const script of this.#start.scripts) this.#input.connect(machine.serials[script.num - 1]!, script);
    }
    return machine;
  }

  #reportState(): void {
    const state = machineState(this.#vcpu, this.#start.machine);
    if (state === undefined) return;
    const instructions = Number(state.registers.get('instructions'));
    post({ type: 'state', hash: hashOf(state), instructions });
  }

  #runGuest(buses: VcpuBuses): void {
    while (this.#state.reason === undefined) {
      if (this.#state.waitWhilePaused()) this.#vcpu.notePause();
      else this.#handle(this.#vcpu.run(buses));
    }
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
