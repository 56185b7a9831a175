/** A vCPU of the software CPU: the loop around the engine that takes interrupts, keeps time and halts. */
import { random64 } from '../../base/random.ts';
import { Bus } from '../../devices/bus.ts';
import type { Clock } from '../../devices/device.ts';
import type { Lapic } from '../../irqchip/lapic.ts';
import type { Pit } from '../../irqchip/pit.ts';
import type { Gpa, GuestMemory } from '../../memory/guest-memory.ts';
import type {
  CpuidEntry,
  FpuState,
  GuestDebug,
  MpState,
  MsrEntry,
  Registers,
  SystemRegisters,
  Vcpu,
  VcpuBuses,
  VcpuEvents,
  VcpuExit,
} from '../hypervisor.ts';
import type { Insn } from './decode/insn.ts';
import { Engine, type EngineHooks, type Next } from './engine.ts';
import { Exact } from './fpu/exact.ts';
import { X87 } from './fpu/x87.ts';
import { blockOf } from './layout.ts';
import { ACCESS } from './mmu/mmu.ts';
import { MODE } from './modes.ts';
import { CPU } from './state.ts';
import { CpuState, FLAG, VECTOR } from './system/cpu-state.ts';
import { defaultCpuid } from './system/cpuid.ts';
import { afterStep, codeBreakpoint } from './system/debug.ts';
import { execute } from './system/dispatch.ts';
import { deliver, type GuestEvent } from './system/exceptions.ts';
import { isX87, x87 } from './system/fpu-instructions.ts';
import { readMsr, writeMsr } from './system/msrs.ts';
import type { SystemCpu } from './system/system-cpu.ts';
import * as registers from './vcpu-registers.ts';
import { type SoftVcpuHandle, SoftVmAccess, TSC_KHZ } from './vm-access.ts';

/** Instructions between two looks at the clock. */
const BUDGET = 100_000;
const SHORTEST_BUDGET = 500;
/** A guess of how many instructions one nanosecond has, to stop near the next deadline. */
const INSTRUCTIONS_PER_NS = 0.08;

type State = 'running' | 'halted' | 'waits for INIT' | 'waits for SIPI';

export class SoftVcpu implements Vcpu, SystemCpu, EngineHooks {
  readonly id: number;
  readonly vm: SoftVmAccess;
  readonly state: CpuState;
  readonly apic: Lapic;
  readonly fpu: X87;
  readonly #exact: Exact;
  readonly memory: GuestMemory;
  readonly tscKhz = TSC_KHZ;
  cpuid: readonly CpuidEntry[];
  readonly #engine: Engine;
  readonly #pit: Pit | undefined;
  readonly #words: Int32Array;
  readonly #attention: number;
  /** Views of CPU.io by width: what devices read and write. */
  readonly #io: readonly Uint8Array[];
  /** The interrupt controllers, which belong to the CPU: what they claim never reaches the machine's buses. */
  readonly #chipPorts = new Bus();
  readonly #chipMmio = new Bus();
  #buses!: VcpuBuses;
  #run: State;
  #exit: VcpuExit | undefined;
  #debug: GuestDebug | undefined;
  #faulted = false;
  #tscOffset = 0;
  #tscDeadline = 0n;

  /** `clock`: another time than the host's, for tools that repeat a run. */
  constructor(handle: SoftVcpuHandle, clock?: Clock) {
    this.id = handle.id;
    this.vm = new SoftVmAccess(handle.vm, clock);
    const { memory, cpus } = handle.vm.machine;
    this.state = new CpuState(memory.buffer, this.id);
    this.apic = this.vm.irqchip.lapics[this.id]!;
    this.memory = this.vm.memory;
    this.#pit = this.id === 0 ? this.vm.irqchip.isa.pit : undefined;
    this.#words = new Int32Array(memory.buffer);
    this.#attention = (blockOf(this.id) + CPU.attention) >> 2;
    this.#io = [1, 2, 4, 8].map((size) => new Uint8Array(memory.buffer, blockOf(this.id) + CPU.io, size));
    this.cpuid = defaultCpuid({ id: this.id, vcpus: cpus, tscKhz: TSC_KHZ });
    this.fpu = new X87(this.state.view, this.state.block);
    this.#exact = new Exact(this.state.view, this.state.block);
    this.#engine = new Engine(memory, this.id, this.state, this);
    this.#run = this.id === 0 ? 'running' : 'waits for INIT';
    this.vm.irqchip.isa.insertInto(this.#chipPorts, this.#chipMmio);
    this.#reset();
  }

  get clock() {
    return this.vm.clock;
  }

  run(buses: VcpuBuses): VcpuExit {
    this.#buses = buses;
    this.#exit = undefined;
    for (;;) {
      this.#tickTimers();
      Atomics.store(this.#words, this.#attention, 0);
      if (Atomics.exchange(this.#words, (this.state.block + CPU.kicked) >> 2, 0) !== 0) return { reason: 'kicked' };
      this.#takeEvents();
      if (this.#run === 'running') this.#runGuest();
      else this.#wait();
      if (this.#exit !== undefined) return this.#exit;
    }
  }

  #runGuest(): void {
    const { state } = this;
    const budget = this.#nextBudget();
    state.setU32(CPU.budget, budget);
    const stepping = (state.u32(CPU.mode) & MODE.step) !== 0;
    if (stepping) {
      this.#step();
      return;
    }
    this.#engine.run();
    const used = budget - (state.u32(CPU.budget) | 0);
    state.setU64(CPU.instructions, state.u64(CPU.instructions) + BigInt(used));
  }

  /** One instruction: for RFLAGS.TF, breakpoints in DR7, and debuggers. */
  #step(): void {
    const { state } = this;
    if (codeBreakpoint(this)) {
      this.#deliver({ vector: VECTOR.db, kind: 'fault' });
      return;
    }
    const flagsBefore = state.u32(CPU.eflags);
    const insn = this.#engine.peek();
    this.#faulted = false;
    this.#engine.run();
    state.setU64(CPU.instructions, state.u64(CPU.instructions) + 1n);
    if (insn !== undefined && !this.#faulted && afterStep(this, insn, flagsBefore) === 'shutdown') {
      this.#exit = { reason: 'shutdown' };
    }
    if (this.#debug?.singleStep === true) this.#exit ??= { reason: 'debug' };
    if (this.#debug?.breakpoints.some((at) => at === state.rip) === true) this.#exit ??= { reason: 'debug' };
  }

  #nextBudget(): number {
    const deadline = Math.min(this.apic.deadline(), this.#pit?.deadline() ?? Number.POSITIVE_INFINITY);
    if (deadline === Number.POSITIVE_INFINITY) return BUDGET;
    const left = (deadline - this.clock.now()) * INSTRUCTIONS_PER_NS;
    return Math.max(SHORTEST_BUDGET, Math.min(BUDGET, Math.floor(left)));
  }

  #tickTimers(): void {
    const pit = this.#pit?.deadline() ?? Number.POSITIVE_INFINITY;
    const lapic = this.apic.deadline();
    if (pit === Number.POSITIVE_INFINITY && lapic === Number.POSITIVE_INFINITY) return;
    const now = this.clock.now();
    if (pit <= now) this.#pit!.tick();
    if (lapic <= now) this.apic.tick();
  }

  /** Sleeps until somebody asks for attention or a timer is due. */
  #wait(): void {
    const deadline = Math.min(this.apic.deadline(), this.#pit?.deadline() ?? Number.POSITIVE_INFINITY);
    const milliseconds = (deadline - this.clock.now()) / 1e6;
    if (milliseconds > 0) Atomics.wait(this.#words, this.#attention, 0, milliseconds);
  }

  // -- events

  #takeEvents(): void {
    const { apic, state } = this;
    if (apic.attention() === 0) {
      state.setU32(CPU.interruptWaits, 0);
      return;
    }
    if (apic.takeInit()) {
      this.#reset();
      this.#run = this.id === 0 ? 'running' : 'waits for SIPI';
    }
    const sipi = apic.takeSipi();
    if (sipi >= 0 && this.#run === 'waits for SIPI') {
      registers.startUpAt(this.state, sipi);
      this.#updateMode();
      this.#run = 'running';
    }
    if (this.#run === 'waits for INIT' || this.#run === 'waits for SIPI') return;
    if (state.u32(CPU.nmiBlocked) === 0 && apic.takeNmi()) {
      this.#run = 'running';
      this.#deliver({ vector: VECTOR.nmi, kind: 'nmi' });
      return;
    }
    this.#takeInterrupt();
  }

  #takeInterrupt(): void {
    const { apic, state } = this;
    const pending = apic.pendingVector();
    const open = (state.u32(CPU.eflags) & FLAG.if) !== 0 && state.u32(CPU.interruptShadow) === 0;
    state.setU32(CPU.interruptShadow, 0);
    if (pending < 0) {
      state.setU32(CPU.interruptWaits, 0);
      return;
    }
    if (!open) {
      // Generated code asks for attention when it sets IF.
      state.setU32(CPU.interruptWaits, 1);
      return;
    }
    this.#run = 'running';
    this.#deliver({ vector: apic.acknowledge(), kind: 'interrupt' });
    state.setU32(CPU.interruptWaits, apic.pendingVector() >= 0 ? 1 : 0);
  }

  #reset(): void {
    registers.resetState(this.state);
    this.fpu.init();
    this.state.flushTlb();
    this.#updateMode();
  }

  #deliver(event: GuestEvent): Next {
    if (deliver(this, event) === 'jump') return 'jump';
    this.#exit = { reason: 'shutdown' };
    return 'leave';
  }

  // -- EngineHooks

  execute(insn: Insn): Next {
    const next = isX87(insn.op) ? x87(this, this.fpu, insn) : execute(this, insn);
    if (next === 'next' || next === 'jump') {
      if (this.state.u32(CPU.interruptWaits) !== 0 || this.state.u32(CPU.interruptShadow) !== 0)
        this.#askForAttention();
      return next;
    }
    if (next === 'shutdown') this.#exit = { reason: 'shutdown' };
    else {
      this.#run = 'halted';
      this.state.rip = (this.state.rip + BigInt(insn.length)) & this.state.u64(CPU.ripMask);
    }
    return 'leave';
  }

  fault(vector: number, errorCode: number): Next {
    this.#faulted = true;
    return this.#deliver({ vector, errorCode, kind: 'fault' });
  }

  exact(op: number, a: number, b: number, imm: number): number {
    return this.#exact.execute(op, a, b, imm);
  }

  mmioRead(gpa: Gpa, size: number): void {
    const data = this.#data(size);
    const lapic = this.#lapicOffset(gpa);
    if (lapic >= 0) this.apic.read(lapic, data);
    else (this.#chipMmio.claims(gpa) ? this.#chipMmio : this.#buses.mmio).read(gpa, data);
  }

  mmioWrite(gpa: Gpa, size: number): void {
    const data = this.#data(size);
    const lapic = this.#lapicOffset(gpa);
    if (lapic >= 0) this.apic.write(lapic, data);
    else if (this.#chipMmio.claims(gpa)) this.#chipMmio.write(gpa, data);
    else if (!this.vm.ioEvents.signal(false, gpa, data)) this.#buses.mmio.write(gpa, data);
  }

  /** Without a value: leaves it in CPU.io. */
  portRead(port: number, size: number): number {
    (this.#chipPorts.claims(port) ? this.#chipPorts : this.#buses.ports).read(port, this.#data(size));
    return this.state.u32(CPU.io) & (size === 4 ? -1 : (1 << (8 * size)) - 1);
  }

  portWrite(port: number, size: number, value?: number): void {
    if (value !== undefined) this.state.setU32(CPU.io, value);
    const data = this.#data(size);
    if (this.#chipPorts.claims(port)) this.#chipPorts.write(port, data);
    else if (!this.vm.ioEvents.signal(true, port, data)) this.#buses.ports.write(port, data);
  }

  timeStamp(): number {
    return this.clock.now() + this.#tscOffset;
  }

  fetchFromNowhere(gpa: Gpa): void {
    this.#exit = {
      reason: 'error',
      detail: `the guest runs code at 0x${gpa.toString(16)}, where it has no memory (RIP 0x${this.state.rip.toString(16)})`,
    };
  }

  #data(size: number): Uint8Array {
    return this.#io[size === 8 ? 3 : size >> 1]!;
  }

  #lapicOffset(gpa: Gpa): number {
    const offset = gpa - this.apic.mmioBase;
    return offset >= 0 && offset < 4096 && this.apic.mmioBase >= 0 ? offset : -1;
  }

  #askForAttention(): void {
    Atomics.store(this.#words, this.#attention, -0x8000_0000);
  }

  // -- SystemCpu

  readTsc(): bigint {
    return BigInt(this.timeStamp());
  }

  writeTsc(value: bigint): void {
    this.#tscOffset = Number(value & 0xf_ffff_ffff_ffffn) - this.clock.now();
  }

  get tscDeadline(): bigint {
    return this.apic.tscDeadlineArmed() ? this.#tscDeadline : 0n;
  }

  set tscDeadline(value: bigint) {
    this.#tscDeadline = value;
    this.apic.setTscDeadline(value === 0n ? Number.POSITIVE_INFINITY : Number(value) - this.#tscOffset);
    this.#askForAttention();
  }

  random(): bigint {
    return random64();
  }

  // -- Vcpu: state for the machine, snapshots and debuggers

  supportedCpuid(): CpuidEntry[] {
    return this.vm.supportedCpuid();
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    this.cpuid = entries;
  }

  getRegisters(): Registers {
    return registers.getRegisters(this.state);
  }

  setRegisters(values: Registers): void {
    registers.setRegisters(this.state, values);
    this.#updateMode();
  }

  getSystemRegisters(): SystemRegisters {
    return registers.getSystemRegisters(this.state, this.apic);
  }

  setSystemRegisters(values: SystemRegisters): void {
    registers.setSystemRegisters(this.state, this.apic, values);
    this.state.flushTlb();
    this.#updateMode();
  }

  getFpu(): FpuState {
    const fxsave = new Uint8Array(512);
    this.fpu.fxsave(new DataView(fxsave.buffer), { wide: true, code64: true });
    return { fxsave };
  }

  setFpu({ fxsave }: FpuState): void {
    const image = fxsave.slice();
    this.fpu.fxrstor(new DataView(image.buffer), { wide: true, code64: true });
  }

  getMsrs(indices: readonly number[]): MsrEntry[] {
    return indices.map((index) => ({ index, value: readMsr(this, index) ?? 0n }));
  }

  setMsrs(entries: readonly MsrEntry[]): void {
    for (const { index, value } of entries) writeMsr(this, index, value);
  }

  getEvents(): VcpuEvents {
    return {
      exception: { injected: false, vector: 0, hasErrorCode: false, errorCode: 0 },
      interrupt: { injected: false, vector: 0, soft: false, shadow: this.state.u32(CPU.interruptShadow) },
      nmi: { injected: false, pending: false, masked: this.state.u32(CPU.nmiBlocked) !== 0 },
      sipiVector: 0,
    };
  }

  setEvents(events: VcpuEvents): void {
    this.state.setU32(CPU.interruptShadow, events.interrupt.shadow);
    this.state.setU32(CPU.nmiBlocked, events.nmi.masked ? 1 : 0);
    if (events.nmi.pending) this.injectNmi();
  }

  getMpState(): MpState {
    const names = {
      running: 'runnable',
      halted: 'halted',
      'waits for INIT': 'uninitialized',
      'waits for SIPI': 'init-received',
    } as const;
    return names[this.#run];
  }

  setMpState(state: MpState): void {
    const states = {
      runnable: 'running',
      halted: 'halted',
      uninitialized: 'waits for INIT',
      'init-received': 'waits for SIPI',
      'sipi-received': 'running',
    } as const;
    this.#run = states[state];
  }

  getLapic(): Uint8Array {
    return this.apic.save();
  }

  setLapic(page: Uint8Array): void {
    this.apic.load(page);
  }

  getXcr0(): bigint {
    return 1n;
  }

  setXcr0(): void {}

  setGuestDebug(debug: GuestDebug | undefined): void {
    this.#debug = debug;
    this.#updateMode();
  }

  translate(linear: bigint): Gpa | undefined {
    const { state } = this;
    const host = state.core.translate(state.block, BigInt.asIntN(64, linear), ACCESS.fetch);
    state.setU32(CPU.fault, 0);
    return host === -1 ? undefined : Number(state.u64(CPU.scratch));
  }

  injectNmi(): void {
    this.apic.accept(4, 0, false);
  }

  notePause(): void {}

  close(): void {}

  #updateMode(): void {
    this.state.stepping = this.#debug !== undefined;
    this.state.updateMode();
  }
}
