/** A CPU of the software hypervisor: the loop around the engine that takes interrupts, keeps time and halts. */
import { random64 } from '../../base/random.ts';
import type { Lapic } from '../../irqchip/lapic.ts';
import { ATTENTION_INIT, ATTENTION_NMI } from '../../irqchip/lapic-state.ts';
import type { CpuidEntry, GuestDebug, VcpuBuses, VcpuExit } from '../hypervisor.ts';
import { bitsOf, nextState } from '../seeded-random.ts';
import { CS, FLAG, VECTOR } from './architecture.ts';
import type { Insn } from './decode/insn.ts';
import { Engine, type EngineHooks, type Next } from './engine.ts';
import { Exact } from './fpu/exact.ts';
import { X87 } from './fpu/x87.ts';
import { InstructionClock } from './instruction-clock.ts';
import { IrqfdListener } from './irqfd-listener.ts';
import { KeptFile } from './kept-files.ts';
import { CPU } from './state.ts';
import { CpuState } from './system/cpu-state.ts';
import { defaultCpuid } from './system/cpuid.ts';
import { afterStep, codeBreakpoint } from './system/debug.ts';
import { execute } from './system/dispatch.ts';
import { deliver, type GuestEvent } from './system/exceptions.ts';
import { isX87, x87 } from './system/fpu-instructions.ts';
import { updateSystemTime } from './system/kvmclock.ts';
import { initialize, reset, startUp } from './system/reset.ts';
import type { PhysicalMemory, SystemCpu } from './system/system-cpu.ts';
import { TscSync } from './tsc-sync.ts';
import { VcpuIo } from './vcpu-io.ts';
import type { VcpuSignals } from './vcpu-signals.ts';
import { HostTime, InstructionTime, type VcpuTime } from './vcpu-time.ts';
import { type SoftVmAccess, TSC_KHZ } from './vm-access.ts';

/** PAUSE instructions that a vCPU executes before it gives way to others, and for how many milliseconds it does. */
const PATIENCE = 1000;
const MOMENT = 0.05;
/** The counter fits into a safe integer for three months. */
const TSC_MASK = 0xf_ffff_ffff_ffffn;
const NEVER = Number.POSITIVE_INFINITY;

export type Activity = 'running' | 'halted' | 'waits for INIT' | 'waits for SIPI';

export class Processor implements SystemCpu, EngineHooks {
  readonly id: number;
  /** The VM as this thread sees it. */
  readonly vm: SoftVmAccess;
  readonly state: CpuState;
  readonly apic: Lapic;
  readonly fpu: X87;
  readonly memory: PhysicalMemory;
  readonly tscKhz = TSC_KHZ;
  cpuid: readonly CpuidEntry[];
  activity: Activity;
  /** An event whose delivery was begun elsewhere: it comes before anything else does. */
  injected: GuestEvent | undefined;
  readonly #exact: Exact;
  readonly #engine: Engine;
  readonly #io: VcpuIo;
  /** What it does when, and what its thread ticks. */
  protected readonly time: VcpuTime;
  readonly #signals: VcpuSignals;
  readonly #keptFile: KeptFile | undefined;
  readonly #irqfds: IrqfdListener;
  #exit: VcpuExit | undefined;
  #debug: GuestDebug | undefined;
  /** The next instruction is executed alone: an interrupt must not come before it, but may behind it. */
  #shadowed = false;
  /** The next instruction is executed alone: it accesses a device, at a time that must be exact. */
  #needsAlone = false;
  #faulted = false;
  #tscOffset = 0;
  #tscDeadline = 0n;

  constructor(id: number, vm: SoftVmAccess) {
    const { memory, cpus } = vm.machine;
    this.id = id;
    this.vm = vm;
    this.state = new CpuState(memory.buffer, id);
    this.apic = vm.irqchip.lapics[id]!;
    this.memory = vm.trackedMemory;
    this.#signals = vm.signals[id]!;
    this.#irqfds = new IrqfdListener(vm.irqfds, this.#signals, id);
    this.#io = new VcpuIo(vm, this.apic, this.state, {
      onApicWrite: () => this.#lookSoon(),
      onDoorbell: () => this.#irqfds.expect(),
    });
    this.cpuid = defaultCpuid({ id, vcpus: cpus, tscKhz: TSC_KHZ });
    this.fpu = new X87(this.state.view, this.state.block);
    this.#exact = new Exact(this.state.view, this.state.block);
    const { clock, options } = vm;
    const exactTime = clock instanceof InstructionClock;
    this.#keptFile = KeptFile.open(vm.keptPlace, id);
    this.#engine = new Engine(memory, id, this.state, this, {
      compiled: vm.core,
      blockLength: options.blockLength,
      jitThreshold: options.jitThreshold,
      kept: this.#keptFile,
      exactTime,
      onNeedsAlone: () => {
        this.#needsAlone = true;
      },
    });
    if (exactTime) clock.sinceEntry = () => this.#engine.executed;
    this.time = exactTime ? new InstructionTime(clock) : new HostTime(clock);
    if (id === 0) this.time.add(vm.irqchip.isa.pit);
    this.time.add(this.apic);
    this.activity = id === 0 ? 'running' : 'waits for INIT';
    reset(this);
  }

  /** Keeps what was compiled for other runs. */
  protected keepCode(): void {
    this.#keptFile?.keep(this.#engine, this.vm.core);
  }

  get clock() {
    return this.vm.clock;
  }

  run(buses: VcpuBuses): VcpuExit {
    this.#io.buses = buses;
    this.#exit = undefined;
    this.#signals.enter();
    try {
      while (this.#exit === undefined) this.#turn();
      return this.#exit;
    } finally {
      this.#signals.leave();
    }
  }

  /** Everything that others may want is looked at after `clear`: what comes later sets the attention word again. */
  #turn(): void {
    this.time.tick();
    this.#irqfds.look();
    this.#signals.clear();
    if (this.#signals.takeKick()) {
      this.#exit = { reason: 'kicked' };
      return;
    }
    if (this.#signals.isFlushAsked()) {
      this.state.tlb.flush();
      this.#signals.flushed();
    }
    this.#engine.code.takeWrites();
    this.#takeEvents();
    if (this.#exit !== undefined) return;
    if (this.activity !== 'running') {
      this.time.wait(this.#irqfds);
      return;
    }
    this.#giveWay();
    this.#runGuest();
  }

  /**
   * A vCPU that executes PAUSE waits for another one, whose thread may have no processor while ours spins: after a
   * while it sleeps for a moment. An interrupt wakes it.
   */
  #giveWay(): void {
    const { state } = this;
    if (state.u32(CPU.pauses) < PATIENCE) return;
    state.setU32(CPU.pauses, 0);
    this.time.rest(this.#irqfds, MOMENT);
  }

  #runGuest(): void {
    const { state } = this;
    const budget = this.nextBudget();
    const alone = this.#shadowed || this.#needsAlone || budget === 0;
    this.#shadowed = false;
    this.#needsAlone = false;
    if (state.alone !== alone) {
      state.alone = alone;
      state.updateMode();
    }
    const used = state.isTraced ? this.#step(budget) : this.#enter(budget);
    state.count(CPU.instructions, used);
    this.time.executed(used);
  }

  #enter(budget: number): number {
    this.state.count(CPU.entries);
    return this.#engine.run(budget);
  }

  /** One instruction, for RFLAGS.TF, breakpoints in DR7 and debuggers; returns how many that was. */
  #step(budget: number): number {
    const { state } = this;
    if (this.#atBreakpoint()) {
      this.#exit = { reason: 'debug' };
      return 0;
    }
    if (codeBreakpoint(this)) {
      this.#deliver({ vector: VECTOR.db, kind: 'fault' });
      return 0;
    }
    const flagsBefore = state.u32(CPU.eflags);
    const insn = this.#engine.peek();
    this.#faulted = false;
    const used = this.#enter(budget);
    if (insn !== undefined && !this.#faulted && afterStep(this, insn, flagsBefore) === 'shutdown') {
      this.#exit = { reason: 'shutdown' };
    }
    if (this.#debug?.singleStep === true) this.#exit ??= { reason: 'debug' };
    return used;
  }

  /** Whether a debugger wants to stop before the instruction at RIP. */
  #atBreakpoint(): boolean {
    if (this.#debug === undefined) return false;
    const { state } = this;
    const linear = state.is64BitCode ? state.rip : (state.rip + state.segmentBase(CS)) & 0xffff_ffffn;
    return this.#debug.breakpoints.includes(linear);
  }

  set debug(debug: GuestDebug | undefined) {
    this.#debug = debug;
    this.state.stepping = debug !== undefined;
    this.state.updateMode();
  }

  /** Forgets decoded code, as memory was written by somebody else. Not while the vCPU runs. */
  forgetCode(): void {
    this.#engine.code.dropAll();
  }

  /** Instructions until the next look at everything else, 0: one, alone. Asked at each look before the guest runs on. */
  nextBudget(): number {
    return this.time.plan(this.#irqfds.isExpectant);
  }

  // -- events

  #takeEvents(): void {
    const { apic, state } = this;
    if (apic.attention() !== 0) this.acceptInit();
    if (this.activity === 'waits for INIT' || this.activity === 'waits for SIPI') return;
    if (this.injected !== undefined) this.#deliverInjected(this.injected);
    if (state.u32(CPU.interruptShadow) !== 0) {
      state.setU32(CPU.interruptShadow, 0);
      this.#shadowed = apic.attention() !== 0;
    } else if (apic.attention() !== 0) {
      this.#takeInterrupt();
    }
    // Generated code asks for attention when it sets RFLAGS.IF.
    state.setU32(CPU.interruptWaits, apic.pendingVector() >= 0 ? 1 : 0);
  }

  /** Does what INIT and start-up messages say. */
  acceptInit(): void {
    if (this.apic.takeInit()) {
      initialize(this);
      this.#shadowed = false;
      this.injected = undefined;
      this.activity = this.id === 0 ? 'running' : 'waits for SIPI';
    }
    const page = this.apic.takeSipi();
    if (page < 0 || this.activity !== 'waits for SIPI') return;
    startUp(this, page);
    this.activity = 'running';
  }

  #takeInterrupt(): void {
    const { apic, state } = this;
    if (state.u32(CPU.nmiBlocked) === 0 && apic.takeNmi()) {
      this.activity = 'running';
      this.#deliver({ vector: VECTOR.nmi, kind: 'nmi' });
      return;
    }
    if (apic.pendingVector() < 0 || (state.u32(CPU.eflags) & FLAG.if) === 0) return;
    this.activity = 'running';
    this.#deliver({ vector: apic.acknowledge(), kind: 'interrupt' });
  }

  #deliverInjected(event: GuestEvent): void {
    this.injected = undefined;
    this.activity = 'running';
    // The address of a page fault is in CR2 already.
    this.state.setU64(CPU.faultAddress, this.state.u64(CPU.cr2));
    this.#deliver(event);
  }

  /** Asks for attention if there is something to take now, or a timer runs out earlier than it was to. */
  #lookSoon(): void {
    const { apic, state } = this;
    const nmi = state.u32(CPU.nmiBlocked) === 0 ? ATTENTION_NMI : 0;
    const open = (state.u32(CPU.eflags) & FLAG.if) !== 0 ? -1 : ATTENTION_INIT | nmi;
    const attention = apic.attention();
    const asked = (attention & open) !== 0 || state.u32(CPU.interruptShadow) !== 0;
    if (asked || this.time.isSooner()) this.#signals.notify();
    else if (attention !== 0 && apic.pendingVector() >= 0) state.setU32(CPU.interruptWaits, 1);
  }

  #deliver(event: GuestEvent): Next {
    if (deliver(this, event) === 'jump') return 'jump';
    this.#exit = { reason: 'shutdown' };
    return 'leave';
  }

  // -- EngineHooks

  execute(insn: Insn): Next {
    if (isX87(insn.op)) {
      this.state.count(CPU.x87Callouts);
      return this.#status(x87(this, this.fpu, insn), insn);
    }
    this.state.count(CPU.systemCallouts);
    const next = this.#status(execute(this, insn), insn);
    this.#lookSoon();
    return next;
  }

  #status(next: ReturnType<typeof execute>, insn: Insn): Next {
    if (next === 'next' || next === 'jump') return next;
    if (next === 'shutdown') {
      this.#exit = { reason: 'shutdown' };
    } else {
      this.activity = 'halted';
      this.state.count(CPU.halts);
      this.state.rip = (this.state.rip + BigInt(insn.length)) & this.state.u64(CPU.ripMask);
    }
    return 'leave';
  }

  fault(vector: number, errorCode: number): Next {
    this.#faulted = true;
    const next = this.#deliver({ vector, errorCode, kind: 'fault' });
    this.#lookSoon();
    return next;
  }

  exact(op: number, a: number, b: number, imm: number): number {
    this.state.count(CPU.exactCallouts);
    return this.#exact.execute(op, a, b, imm);
  }

  mmioRead(gpa: number, size: number): void {
    this.#io.mmioRead(gpa, size);
  }

  mmioWrite(gpa: number, size: number): void {
    this.#io.mmioWrite(gpa, size);
  }

  /** The value, zero-extended; it is in CPU.io as well. */
  portRead(port: number, size: number): number {
    this.#io.portRead(port, size);
    return this.state.u32(CPU.io) & (size === 4 ? -1 : (1 << (8 * size)) - 1);
  }

  /** Without a value: the one in CPU.io. */
  portWrite(port: number, size: number, value?: number): void {
    if (value !== undefined) this.state.setU32(CPU.io, value);
    this.#io.portWrite(port, size);
  }

  timeStamp(): number {
    return this.clock.now() + this.#tscOffset;
  }

  fetchFromNowhere(gpa: number): void {
    const rip = this.state.rip.toString(16);
    const detail = `the guest runs code at 0x${gpa.toString(16)}, where it has no memory (RIP 0x${rip})`;
    this.#exit = { reason: 'error', detail };
  }

  // -- SystemCpu

  readTsc(now = this.clock.now()): bigint {
    return BigInt(now + this.#tscOffset);
  }

  writeTsc(value: bigint): void {
    this.#setTscOffset(Number(value & TSC_MASK) - this.clock.now());
  }

  /** Sets the counter from outside, so that it goes with those of the other vCPUs. */
  synchronizeTsc(value: bigint): void {
    const sync = new TscSync(this.vm.machine.memory.buffer);
    this.#setTscOffset(sync.offsetFor(Number(value & TSC_MASK), this.clock.now()));
    updateSystemTime(this);
  }

  #setTscOffset(offset: number): void {
    const { tscDeadline } = this;
    this.#tscOffset = offset;
    if (tscDeadline !== 0n) this.tscDeadline = tscDeadline;
  }

  get tscDeadline(): bigint {
    return this.apic.tscDeadlineArmed() ? this.#tscDeadline : 0n;
  }

  set tscDeadline(value: bigint) {
    this.#tscDeadline = value;
    this.apic.setTscDeadline(value === 0n ? NEVER : Number(value) - this.#tscOffset);
  }

  random(): bigint {
    const { state } = this;
    if (!(this.clock instanceof InstructionClock)) return random64();
    state.setU64(CPU.random, nextState(state.u64(CPU.random)));
    return bitsOf(state.u64(CPU.random));
  }
}
