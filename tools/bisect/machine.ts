/** A deterministic machine in this thread, as `crosvm run --deterministic` makes it, that stops where it is told to. */
import type { TimedDevice } from '../../src/devices/device.ts';
import type { SoftOptions } from '../../src/hypervisor/hypervisor.ts';
import { soft } from '../../src/hypervisor/soft/soft.ts';
import type { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';
import { type BuiltVm, buildVm } from '../../src/vm/builder.ts';
import type { VmConfig } from '../../src/vm/config.ts';
import { attachMachine, type Machine } from '../../src/vm/machine.ts';
import { type MachineState, machineState } from '../../src/vm/machine-state.ts';
import { RunState } from '../../src/vm/run-state.ts';
import { resolveSerialPorts } from '../../src/vm/serial-ports.ts';
import { setUpVcpu } from '../../src/vm/vcpu-setup.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** How a machine differs from what the configuration says. */
export interface Variant {
  readonly soft: SoftOptions;
  /** Changes the vCPU before it runs. */
  readonly change?: (vcpu: SoftVcpu) => void;
}

export class BisectMachine implements Disposable {
  readonly vcpu: SoftVcpu;
  /** Why the guest has ended; undefined while it has not. */
  ended: string | undefined;
  readonly #built: BuiltVm;
  readonly #machine: Machine;
  readonly #resources: DisposableStack;
  readonly #stop: Stop;

  static async create(config: VmConfig, variant: Variant): Promise<BisectMachine> {
    using resources = new DisposableStack();
    const runState = new RunState();
    const built = await buildVm(
      config,
      { kind: 'soft', device: '' },
      resolveSerialPorts(config.serial),
      runState,
      resources,
      { soft: variant.soft },
    );
    const machine = new BisectMachine(built, resources.move());
    variant.change?.(machine.vcpu);
    return machine;
  }

  private constructor(built: BuiltVm, resources: DisposableStack) {
    this.#built = built;
    this.#resources = resources;
    const [start] = built.starts;
    this.vcpu = soft().attachVcpu(start!.handle) as SoftVcpu;
    this.#stop = new Stop(() => this.vcpu.vm.kick(0));
    this.#machine = attachMachine(start!.machine, this.vcpu.vm, {
      vcpu: 0,
      end: (reason) => this.#end(reason),
      isEnding: () => this.ended !== undefined,
      inputRoom: () => {},
      warn: () => {},
      rearm: () => this.vcpu.deterministic!.rearm(),
    });
    setUpVcpu(this.vcpu, start!.setup);
    this.vcpu.deterministic!.add(this.#machine.timers);
    this.vcpu.deterministic!.add(this.#stop);
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** The guest's time in nanoseconds: the instructions that it has executed, and what it waited for in HLT. */
  get time(): number {
    return this.vcpu.deterministic!.clock.now();
  }

  get state(): MachineState {
    return machineState(this.vcpu, this.#built.starts[0]!.machine)!;
  }

  /** Runs to the first boundary of instructions at `time` or later, or until the guest ends. */
  runTo(time: number): void {
    this.#stop.at = time;
    this.#run(time);
    this.#stop.at = NEVER;
  }

  /** Runs to the first block end at `time` or later, or until the guest ends: no code is executed in another way. */
  runNear(time: number): void {
    this.vcpu.deterministic!.pauseNear(time);
    this.#run(time);
  }

  #run(time: number): void {
    while (this.ended === undefined && this.time < time) {
      const exit = this.vcpu.run(this.#machine.buses);
      if (exit.reason !== 'kicked') this.#end(exit.reason === 'error' ? exit.detail : exit.reason);
    }
  }

  #end(reason: string): void {
    this.ended ??= reason;
    this.vcpu.vm.kick(0);
  }
}

/** Makes the vCPU come back at a time. */
class Stop implements TimedDevice {
  at = NEVER;
  readonly #kick: () => void;

  constructor(kick: () => void) {
    this.#kick = kick;
  }

  deadline(): number {
    return this.at;
  }

  tick(): void {
    this.at = NEVER;
    this.#kick();
  }
}
