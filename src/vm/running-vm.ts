import type { ExitReason } from '../devices/device.ts';
import type { CrosvmError } from '../errors.ts';
import type { HypervisorKind, Vm } from '../hypervisor/hypervisor.ts';
import type { VcpuStatistics } from '../hypervisor/statistics.ts';
import type { Log } from '../log.ts';
import type { ConsoleInput } from './console-input.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { VmDevice } from './devices/vm-device.ts';
import type { InputPort } from './input-pump.ts';
import type { Machine } from './machine.ts';
import type { RunState } from './run-state.ts';
import type { FinalState, VcpuThreads } from './vcpu-threads.ts';
import type { VcpuStart } from './vcpu-worker.ts';

/** What `RunningVm` is made of. */
export interface VmParts {
  readonly vm: Vm;
  readonly runState: RunState;
  readonly machine: Machine;
  readonly threads: VcpuThreads;
  /** What each thread is to run. */
  readonly starts: readonly VcpuStart[];
  readonly devices: readonly VmDevice[];
  readonly log: Log;
  /** Disposed of when the VM has ended and its threads are gone. */
  readonly resources: DisposableStack;
}

/** What some vCPUs of a VM have done. */
export interface VmStatistics {
  readonly hypervisor: HypervisorKind;
  /** How many vCPUs the VM has. */
  readonly cpus: number;
  readonly vcpus: readonly VcpuStatistics[];
}

/** A VM as its owner on the main thread sees it. */
export class RunningVm {
  /**
   * Settles when the VM has ended, all its threads are gone and everything is given back. Rejects with a `CrosvmError`
   * if the VM could not go on.
   */
  readonly ended: Promise<ExitReason>;
  readonly #parts: VmParts;
  readonly #timer: DeadlineTimer;
  readonly #inputs = new Map<number, ConsoleInput>();
  readonly #ready: Promise<unknown>;
  #failure: CrosvmError | undefined;
  #finalState: FinalState | undefined;

  /** Launches the threads; the guest waits for `start`. */
  constructor(parts: VmParts) {
    this.#parts = parts;
    this.#timer = new DeadlineTimer(parts.machine.timers, parts.machine.clock);
    this.#ready = parts.threads.launch(parts.starts, {
      inputRoom: (num) => this.#inputs.get(num)?.room(),
      rearm: () => this.#timer.rearm(),
      warning: (sentence) => parts.log('warn', sentence),
      ended: (state) => {
        this.#finalState = state;
      },
      failed: (error) => this.#fail(error),
    });
    this.ended = parts.threads.gone.then(() => this.#finish());
    // Whoever awaits `ended` gets its error; until somebody does, it is not unhandled.
    this.ended.catch(() => {});
  }

  /** Of a deterministic VM that has ended: what two runs of it are to agree in. */
  get finalState(): FinalState | undefined {
    return this.#finalState;
  }

  /** Ends the VM, as if its power had been cut. Once it has ended this does nothing. */
  stop(): void {
    this.#end('stopped');
  }

  /** What vCPUs have done so far: at most `count` of them from number `first` on. */
  statistics(first = 0, count = Number.POSITIVE_INFINITY): VmStatistics {
    const { vm, starts } = this.#parts;
    const asked = starts.slice(first, first + count);
    return { hypervisor: vm.kind, cpus: starts.length, vcpus: asked.map(({ handle }) => vm.statistics(handle.id)) };
  }

  /** Lets the guest go. Throws what kept a vCPU from starting. */
  async start(): Promise<void> {
    await this.#ready;
    if (this.#failure !== undefined) {
      await this.ended;
      return;
    }
    this.#timer.rearm();
    this.#parts.runState.start();
  }

  /** Connects a source of input to serial port `num` (1-4) for as long as the VM runs. */
  connectInput(num: number, connect: (port: InputPort, quit: () => void) => ConsoleInput): void {
    if (this.#parts.runState.reason !== undefined) return;
    this.#inputs.set(
      num,
      connect(this.#parts.machine.serials[num - 1]!, () => this.stop()),
    );
  }

  #fail(error: CrosvmError): void {
    this.#failure ??= error;
    this.#end('crash');
  }

  #end(reason: ExitReason): void {
    const { runState, vm, starts } = this.#parts;
    if (runState.end(reason)) for (const { handle } of starts) vm.kick(handle.id);
  }

  async #finish(): Promise<ExitReason> {
    this.#timer.close();
    for (const input of this.#inputs.values()) input.close();
    this.#parts.resources.dispose();
    await Promise.all(this.#parts.devices.map((device) => device.close()));
    if (this.#failure !== undefined) throw this.#failure;
    const reason = this.#parts.runState.reason ?? 'stopped';
    if (this.#finalState !== undefined) {
      const { hash, instructions } = this.#finalState;
      this.#parts.log('info', `the machine's state after ${instructions} instructions: SHA-256 ${hash}`);
    }
    if (reason === 'crash') this.#parts.log('warn', 'the guest crashed (triple fault)');
    if (reason === 'panic') this.#parts.log('warn', 'the guest kernel panicked');
    return reason;
  }
}
