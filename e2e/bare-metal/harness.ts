import assert from 'node:assert/strict';
import type { Hypervisor, IrqchipKind, Vm } from '../../src/hypervisor/hypervisor.ts';
import type { MemoryLayoutEntry } from '../../src/memory/guest-memory.ts';
import type { WindowOptions } from '../../src/memory/memory-window.ts';
import { assemble } from './assemble.ts';
import { type Mode, registersAtOrigin, systemRegistersFor, writeTables } from './machine-state.ts';
import { ORIGIN } from './prelude.ts';
import { type RemoteVcpu, type RunOptions, type RunResult, VcpuThread } from './vcpu-thread.ts';

/** A hypervisor to test. */
export interface Target {
  readonly name: string;
  /** URL of a module, and the name of its export: a function that makes the Hypervisor. Workers import it too. */
  readonly module: string;
  readonly factory: string;
  readonly irqchip: IrqchipKind;
  /** Why a case cannot run here, by what it needs; empty where all can. */
  readonly lacks: Readonly<Partial<Record<Need, string>>>;
}

/**
 * What a case may need beyond what every target has. `pic` is a PIC pair and an IOAPIC behind `setLine`; the others are
 * what their names say. `interrupt-window`: interrupts are taken at the very instruction where they become possible.
 * `locked-instructions`: those of one vCPU are atomic to the others. `interrupt-service`: an interrupt is in service until the guest ends it.
 * `lost-pages`: memory that the host cannot provide ends the guest.
 */
export type Need =
  | 'smp'
  | 'locked-instructions'
  | 'pic'
  | 'pit'
  | 'irqfd'
  | 'ioeventfd'
  | 'dirty-log'
  | 'tsc-deadline'
  | 'sse'
  | 'software-interrupts'
  | 'interrupt-window'
  | 'interrupt-service'
  | 'lost-pages';

export interface GuestOptions {
  readonly mode: Mode;
  /** Assembler text; see `PRELUDE`. */
  readonly source: string;
  readonly cpus?: number;
  readonly memory?: readonly MemoryLayoutEntry[];
  readonly windows?: readonly WindowOptions[];
}

const MEMORY: readonly MemoryLayoutEntry[] = [{ gpa: 0, size: 0x20_0000 }];
/** A guest that runs for longer is stopped, so that a test fails where it would hang. */
const WATCHDOG_MS = 20_000;

/** A VM with a guest in it, ready to run. */
export class Guest {
  readonly vm: Vm;
  /** vCPU 0, in the guest's mode and at its start; the others are as after reset. */
  readonly vcpus: readonly RemoteVcpu[];
  readonly #threads: readonly VcpuThread[];
  readonly #release: () => void;

  constructor(vm: Vm, vcpus: readonly RemoteVcpu[], threads: readonly VcpuThread[], release: () => void) {
    this.vm = vm;
    this.vcpus = vcpus;
    this.#threads = threads;
    this.#release = release;
  }

  get vcpu(): RemoteVcpu {
    return this.vcpus[0]!;
  }

  /** Runs vCPU `id` until it returns. */
  async run(options: RunOptions & { id?: number } = {}): Promise<RunResult & { timedOut: boolean }> {
    const { id = 0, ...rest } = options;
    let timedOut = false;
    const stop = () => {
      timedOut = true;
      this.vm.kick(id);
    };
    const watchdog = setTimeout(stop, WATCHDOG_MS);
    try {
      return { ...(await this.vcpus[id]!.run(rest)), timedOut };
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** Runs vCPU 0 until the guest exits by itself; returns its exit code and what reached the buses. */
  async finish(options: RunOptions = {}): Promise<{ code: number; accesses: readonly string[] }> {
    const { exit, code, accesses, timedOut } = await this.run(options);
    if (code !== undefined) return { code, accesses };
    // The second sight of a kick that an earlier run has returned for: nothing has happened yet.
    if (exit.reason === 'kicked' && accesses.length === 0 && !timedOut) return this.finish(options);
    const { rip } = await this.vcpu.getRegisters();
    return assert.fail(
      `guest ended with ${JSON.stringify(exit)} at 0x${rip.toString(16)}, accesses ${accesses.slice(0, 20)}`,
    );
  }

  /** Waits for the guest's next mark. */
  async mark(expected: number, id = 0): Promise<void> {
    assert.equal(await this.#threads[id]!.mark(), expected);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let id = 0; id < this.vcpus.length; id++) {
      while (this.#threads[id]!.busy) {
        this.vm.kick(id);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    this.vm.close();
    this.#release();
  }
}

/** Starts guests on one hypervisor. */
export class BareMetalHarness {
  readonly target: Target;
  readonly #hypervisor: Hypervisor;
  readonly #idle: VcpuThread[] = [];

  static async open(target: Target): Promise<BareMetalHarness> {
    const exports = (await import(target.module)) as Record<string, () => Hypervisor>;
    return new BareMetalHarness(target, exports[target.factory]!());
  }

  constructor(target: Target, hypervisor: Hypervisor) {
    this.target = target;
    this.#hypervisor = hypervisor;
  }

  async start({ mode, source, cpus = 1, memory = MEMORY, windows = [] }: GuestOptions): Promise<Guest> {
    const image = assemble(source);
    const vm = this.#hypervisor.createVm({ memory, windows, cpus, irqchip: this.target.irqchip });
    vm.memory.write(ORIGIN, image);
    writeTables(vm.memory);
    const threads = Array.from({ length: cpus }, () => this.#idle.pop() ?? new VcpuThread());
    const { module, factory } = this.target;
    const vcpus = await Promise.all(threads.map((t, id) => t.attach({ module, factory, handle: vm.handle(id) })));
    for (const vcpu of vcpus) await vcpu.setCpuid(await vcpu.supportedCpuid());
    await vcpus[0]!.setSystemRegisters(systemRegistersFor(mode, await vcpus[0]!.getSystemRegisters()));
    await vcpus[0]!.setRegisters(registersAtOrigin());
    return new Guest(vm, vcpus, threads, () => this.#idle.push(...threads));
  }

  async close(): Promise<void> {
    await Promise.all(this.#idle.map((thread) => thread.close()));
  }
}
