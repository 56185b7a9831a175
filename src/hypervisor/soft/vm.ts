/** A VM on the software CPU, as its maker on the main thread has it. */
import { heedBranchHints } from '../../base/branch-hints.ts';
import { type BusErrorWatch, watchBusErrors } from '../../base/bus-errors.ts';
import { HostClock } from '../../base/clock.ts';
import { EventFd } from '../../base/event-fd.ts';
import { addressOf } from '../../base/ffi.ts';
import { WiredOrState } from '../../devices/wired-or.ts';
import { CrosvmError } from '../../errors.ts';
import { createWindowState } from '../../memory/memory-window.ts';
import type { Vm, VmOptions } from '../hypervisor.ts';
import { STREAM, streamStart } from '../seeded-random.ts';
import type { SoftVcpuStatistics } from '../statistics.ts';
import { compileCore } from './interpreter/core.ts';
import { IoEventState } from './io-events.ts';
import { createIrqchipState } from './irqchip-state.ts';
import { Irqfds } from './irqfds.ts';
import { keptPlace, loadKeptCore } from './kept-files.ts';
import { blockOf } from './layout.ts';
import { createMachineMemory, regionBase, releaseMachineMemory } from './machine-memory.ts';
import { CPU } from './state.ts';
import { readStatistics } from './statistics.ts';
import { type SoftVcpuHandle, SoftVmAccess } from './vm-access.ts';

export class SoftVm extends SoftVmAccess implements Vm {
  #watches: readonly (BusErrorWatch | undefined)[] = [];

  static create(options: VmOptions): SoftVm {
    // Guests rely on the order in which an x86 processor's loads and stores become visible to the others.
    if (options.cpus > 1 && process.arch !== 'x64') {
      throw new CrosvmError(
        'E_VCPUS',
        `on a host of architecture ${process.arch} the software CPU can have one vCPU, not ${options.cpus}: use --cpus 1`,
      );
    }
    const { seed, keptCode } = options.soft ?? {};
    if (seed !== undefined && options.cpus !== 1) {
      throw new CrosvmError('E_VCPUS', `a deterministic VM has one vCPU, not ${options.cpus}`);
    }
    heedBranchHints();
    // Where regions end, a deterministic VM looks at its devices: they must not depend on what ran before.
    const place = keptCode === undefined || seed !== undefined ? undefined : keptPlace(keptCode, options.cpus > 1);
    const machine = createMachineMemory(options);
    const calls = Array.from({ length: options.cpus }, () => EventFd.create().fd);
    const vm = new SoftVm({
      options: options.soft ?? {},
      core: loadKeptCore(place) ?? compileCore(),
      keptPlace: place,
      machine,
      windows: (options.windows ?? []).map(createWindowState),
      irqchip: createIrqchipState(options.cpus),
      wires: new SharedArrayBuffer(WiredOrState.byteLength),
      irqfds: Irqfds.create(calls),
      calls,
      ioEvents: new SharedArrayBuffer(IoEventState.byteLength),
      clockOrigin: new HostClock().origin,
    });
    vm.#watches = vm.#watchWindows();
    if (seed !== undefined) vm.#seed(seed);
    return vm;
  }

  get windowFaults(): readonly (number | undefined)[] {
    return this.#watches.map((watch) => watch?.event.fd);
  }

  #watchWindows(): (BusErrorWatch | undefined)[] {
    const { machine } = this;
    const memory = addressOf(machine.memory.buffer);
    return machine.windows.map(({ size }, i) =>
      watchBusErrors(memory + regionBase(machine, machine.layout.length + i), size),
    );
  }

  #seed(seed: number): void {
    new DataView(this.machine.memory.buffer, blockOf(0)).setBigUint64(
      CPU.random,
      streamStart(seed, STREAM.rdrand),
      true,
    );
  }

  setDirtyLog(index: number, enabled: boolean): void {
    this.dirtyLog.setEnabled(index, enabled);
  }

  takeDirtyLog(index: number): Uint8Array {
    return this.dirtyLog.take(index);
  }

  statistics(id: number): SoftVcpuStatistics {
    this.#checkVcpu(id);
    return readStatistics(this.machine.memory.buffer, blockOf(id));
  }

  handle(id: number): SoftVcpuHandle {
    this.#checkVcpu(id);
    return { kind: 'soft', id, vm: this.shared };
  }

  close(): void {
    this.irqfds.close();
    for (const { call } of this.signals) call.close();
    releaseMachineMemory(this.machine);
    for (const watch of this.#watches) watch?.close();
  }

  #checkVcpu(id: number): void {
    if (this.signals[id] === undefined) throw new RangeError(`there is no vCPU ${id}`);
  }
}
