import { onReadable, type Subscription } from '../base/readable.ts';
import type { ExitReason } from '../devices/device.ts';
import { CrosvmError } from '../errors.ts';
import type { HypervisorKind, Vm } from '../hypervisor/hypervisor.ts';
import type { VcpuStatistics } from '../hypervisor/statistics.ts';
import type { Log } from '../log.ts';
import type { BalloonStats } from '../virtio/balloon/balloon-stats.ts';
import type { ConsoleInput } from './console-input.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { ManagedDevice } from './devices/vm-device.ts';
import type { InputPort } from './input-pump.ts';
import type { Machine } from './machine.ts';
import type { RunState } from './run-state.ts';
import type { SerialPortConfig } from './serial-ports.ts';
import type { FinalState, VcpuThreads } from './vcpu-threads.ts';
import type { VcpuStart } from './vcpu-worker.ts';

/** How long the vCPUs may take to stop. */
const SUSPEND_TIMEOUT_MS = 5_000;
const SECTOR_SIZE = 512;

/** What `RunningVm` is made of. */
export interface VmParts {
  readonly vm: Vm;
  /** What messages call the windows of `vm`. */
  readonly windowNames: readonly string[];
  readonly runState: RunState;
  readonly machine: Machine;
  readonly threads: VcpuThreads;
  /** What each thread is to run. */
  readonly starts: readonly VcpuStart[];
  readonly devices: readonly ManagedDevice[];
  readonly log: Log;
  /** Disposed of when the VM has ended and its threads are gone. */
  readonly resources: DisposableStack;
}

/** Connects a source of input to a port. `quit` ends the VM. */
export type ConnectInput = (port: InputPort, quit: () => void) => ConsoleInput;

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
  readonly #inputs = new Map<InputPort, ConsoleInput>();
  readonly #faults: readonly Subscription[];
  readonly #ready: Promise<unknown>;
  #failure: CrosvmError | undefined;
  #finalState: FinalState | undefined;

  /** Launches the threads; the guest waits for `start`. */
  constructor(parts: VmParts) {
    this.#parts = parts;
    this.#timer = new DeadlineTimer(parts.machine.timers, parts.machine.clock);
    this.#ready = parts.threads.launch(parts.starts, {
      inputRoom: (num) => this.#inputs.get(this.#serialPort(num))?.room(),
      rearm: () => this.#timer.rearm(),
      warning: (sentence) => parts.log('warn', sentence),
      ended: (state) => {
        this.#finalState = state;
      },
      failed: (error) => this.#fail(error),
    });
    this.#faults = parts.vm.windowFaults.flatMap((fd, i) => (fd === undefined ? [] : [this.#watchWindow(fd, i)]));
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

  /** Stops the vCPUs until `resume`. Settles when they stand still; throws `E_SUSPEND` if they do not in time. */
  async suspend(): Promise<void> {
    const { runState, vm, starts } = this.#parts;
    runState.pause();
    for (const { handle } of starts) vm.kick(handle.id);
    if (await runState.allWait(starts.length, SUSPEND_TIMEOUT_MS)) return;
    runState.resume();
    throw new CrosvmError('E_SUSPEND', `the vCPUs have not stopped within ${SUSPEND_TIMEOUT_MS} ms`);
  }

  resume(): void {
    this.#parts.runState.resume();
  }

  /** Asks the guest to shut itself down. */
  pressPowerButton(): void {
    this.#parts.machine.pressPowerButton();
  }

  /** Gives disk `index`, in the order of the configuration, another size in bytes. Throws `E_DEVICE`. */
  async resizeDisk(index: number, size: number): Promise<void> {
    const disk = this.#parts.devices.filter(({ plan }) => plan.type === 'block')[index];
    if (disk === undefined) throw new CrosvmError('E_DEVICE', `there is no disk ${index}`);
    if (size === 0 || size % SECTOR_SIZE !== 0) {
      throw new CrosvmError('E_DEVICE', `a disk has whole sectors of ${SECTOR_SIZE} bytes; ${size} bytes are none`);
    }
    await disk.order({ kind: 'resizeDisk', size }, 'done');
  }

  /** Asks the guest to give so many bytes of its memory. Throws `E_DEVICE`. */
  async inflateBalloon(size: number): Promise<void> {
    await this.#balloon().order({ kind: 'inflateBalloon', size }, 'done');
  }

  /** What the guest says of its memory, and the bytes that the balloon has. Throws `E_DEVICE`, also if it says nothing. */
  async balloonStats(): Promise<{ readonly stats: BalloonStats; readonly actual: number }> {
    return this.#balloon().order({ kind: 'balloonStats' }, 'balloonStats');
  }

  #balloon(): ManagedDevice {
    const balloon = this.#parts.devices.find(({ plan }) => plan.type === 'balloon');
    if (balloon === undefined) throw new CrosvmError('E_DEVICE', 'the VM has no memory balloon');
    return balloon;
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

  /** Connects a source of input to a port of the VM for as long as it runs. */
  connectInput({ hardware, num }: SerialPortConfig, connect: ConnectInput): void {
    if (this.#parts.runState.reason !== undefined) return;
    const port = hardware === 'serial' ? this.#serialPort(num) : this.#virtioConsole(num);
    this.#inputs.set(
      port,
      connect(port, () => this.stop()),
    );
  }

  #watchWindow(fault: number, window: number): Subscription {
    const subscription = onReadable(fault, () => {
      subscription.close();
      const name = this.#parts.windowNames[window];
      const message = `${name}: a file became shorter while it was memory of the guest, which cannot go on without it`;
      this.#fail(new CrosvmError('E_FILE_CHANGED', message));
    });
    return subscription;
  }

  /** COM1 to COM4: `num` is 1 to 4. */
  #serialPort(num: number): InputPort {
    return this.#parts.machine.serials[num - 1]!;
  }

  #virtioConsole(num: number): InputPort {
    const isIt = ({ plan: { source } }: ManagedDevice) => source.kind === 'console' && source.port.num === num;
    return this.#parts.devices.find(isIt)!.input!;
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
    for (const fault of this.#faults) fault.close();
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
