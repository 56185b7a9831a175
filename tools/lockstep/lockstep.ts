/** Runs our CPU and QEMU side by side. */
import { flagEffects } from '../../e2e/differential/flag-effects.ts';
import { decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { formatInsn } from '../../src/hypervisor/soft/decode/format.ts';
import { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { OP, OPS } from '../../src/hypervisor/soft/decode/opcodes.ts';
import { codeSizeOf } from '../../src/hypervisor/soft/modes.ts';
import { CPU, CPU_SIZE } from '../../src/hypervisor/soft/state.ts';
import { CpuState } from '../../src/hypervisor/soft/system/cpu-state.ts';
import { Comparison, type Difference } from './compare.ts';
import { Qemu } from './qemu.ts';
import { EVENT, isOwn, type LockstepGuest, Software } from './software.ts';

const PAGE = 4096;
const MAX_INSN = 15;
const HISTORY = 12;
/** So many instructions ahead are worth a stop of QEMU at a place that is not the one yet. */
const PATIENCE = 1000;
const STRING_OPS = new Set<number>([OP.movs, OP.stos, OP.lods, OP.cmps, OP.scas, OP.outs]);

export interface LockstepOptions {
  /** Compares the SSE registers too. */
  readonly vectors?: boolean;
  /** Instructions between two comparisons, about; 1 compares after each. */
  readonly stride?: number;
  /** From this instruction on, compares after each. */
  readonly from?: number;
  /** Compares all of guest memory after every so many instructions; 0 for never. */
  readonly memoryEvery?: number;
}

export interface Divergence {
  /** Instructions before the first that may be the cause, and before the last. */
  readonly first: number;
  readonly step: number;
  readonly operation: string;
  /** The instruction, with its address and bytes. */
  readonly text: string;
  readonly differences: readonly string[];
  /** The instructions before, the latest last. */
  readonly history: readonly string[];
}

interface Executed {
  rip: bigint;
  mode: number;
  readonly bytes: Uint8Array;
}

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

export class Lockstep implements Disposable {
  readonly software: Software;
  /** Instructions executed. */
  steps = 0;
  /** How often QEMU was given our state, by reason. */
  readonly taken = { interrupts: 0, devices: 0, own: 0 };
  readonly #qemu: Qemu;
  readonly #comparison: Comparison;
  /** The state before the last instruction. */
  readonly #before = new CpuState(new ArrayBuffer(CPU_SIZE), 0);
  readonly #comparisonBefore: Comparison;
  readonly #options: LockstepOptions;
  readonly #from: number;
  /** Instructions that QEMU has still to execute, and how often they led to which. */
  #behind = 0;
  readonly #arrivals = new Map<bigint, number>();
  /** Instructions at the last comparison, and flags that those since then have left undefined. */
  #synced = 0;
  #undefinedFlags = 0;
  #memoryNext = 0;
  readonly #insn = new Insn();
  readonly #bytes = new Uint8Array(MAX_INSN);
  readonly #history: Executed[] = Array.from({ length: HISTORY }, () => ({
    rip: 0n,
    mode: 0,
    bytes: new Uint8Array(MAX_INSN),
  }));
  #historyNext = 0;
  #fetched = false;
  #rip = 0n;
  #length = 0;

  static async start(guest: LockstepGuest, options: LockstepOptions = {}): Promise<Lockstep> {
    using cleanup = new DisposableStack();
    const software = cleanup.use(new Software(guest));
    const qemu = cleanup.use(await Qemu.start(software.memory));
    qemu.enter(software.entry);
    cleanup.move();
    return new Lockstep(software, qemu, options);
  }

  private constructor(software: Software, qemu: Qemu, options: LockstepOptions) {
    this.software = software;
    this.#qemu = qemu;
    this.#options = options;
    this.#comparison = new Comparison(software.vcpu.state, qemu, options.vectors === true);
    this.#comparisonBefore = new Comparison(this.#before, qemu, options.vectors === true);
    const { stride = 1, from = Number.POSITIVE_INFINITY } = options;
    this.#from = stride > 1 ? from : 0;
    // The way into the entry state leaves traces in the page tables.
    for (const page of this.#differentPages()) qemu.writeMemory(page, software.memory.slice(page, PAGE));
    qemu.set('cr3', software.entry.systemRegisters.cr3);
    const differences = this.#comparison.differences(0);
    if (differences.length > 0) throw new Error(`the entry states differ: ${differences.map(describe).join('; ')}`);
  }

  [Symbol.dispose](): void {
    this.#qemu[Symbol.dispose]();
    this.software[Symbol.dispose]();
  }

  /** Executes one instruction; on QEMU's side perhaps later. What they differ in, if that is known now. */
  step(): Divergence | undefined {
    this.#fetch();
    const { state } = this.software.vcpu;
    const repeated = this.#fetched && this.#insn.rep !== 0 && STRING_OPS.has(this.#insn.op);
    const own = this.#fetched && isOwn(this.#insn, state.reg(1));
    const alone = this.steps >= this.#from;
    if (this.#behind > 0 && (own || alone || (!repeated && this.#isPlaceToMeet()))) {
      const found = this.#catchUp(this.#comparison);
      if (found !== undefined) return found;
    }
    this.#before.bytes.set(state.bytes.subarray(state.block, state.block + CPU_SIZE));
    const events = this.software.step(repeated);
    const foreign = own || (events & (EVENT.interrupt | EVENT.own | EVENT.device)) !== 0;
    if (!foreign && !alone) {
      this.#runAhead(events);
      return undefined;
    }
    // What was not foreseen has been executed by us already.
    const found = this.#behind > 0 ? this.#catchUp(this.#comparisonBefore) : undefined;
    if (found !== undefined) return found;
    this.#undefinedFlags = this.#follow(own, repeated, events);
    this.steps++;
    this.#synced = this.steps;
    return this.#compare(this.#comparison) ?? this.#compareMemoryAtTimes();
  }

  /** We have executed an instruction that QEMU has not. */
  #runAhead(events: number): void {
    const { rip } = this.software.vcpu.state;
    this.steps++;
    this.#behind++;
    this.#arrivals.set(rip, (this.#arrivals.get(rip) ?? 0) + 1);
    if (!this.#fetched || (events & EVENT.fault) !== 0) return;
    const { defines, undefines } = flagEffects(this.#insn);
    this.#undefinedFlags = (this.#undefinedFlags & ~defines) | undefines;
  }

  /** Whether our RIP tells QEMU where to stop: it comes there for the first time since it last stopped. */
  #isPlaceToMeet(): boolean {
    const { stride = 1 } = this.#options;
    return this.#behind >= stride && (this.#arrivals.get(this.#rip) ?? 0) <= 1 + this.#behind / PATIENCE;
  }

  /** Lets QEMU come to the instruction at #rip, and compares it with the state that we had there. */
  #catchUp(comparison: Comparison): Divergence | undefined {
    const arrivals = this.#arrivals.get(this.#rip) ?? 0;
    const first = this.#synced;
    this.#arrivals.clear();
    this.#behind = 0;
    for (let left = arrivals; left > 0; ) {
      const at = this.#qemu.get('rip') === this.#rip;
      if (at) this.#qemu.step();
      if (at && this.#qemu.get('rip') !== this.#rip) continue;
      if (!at && !this.#qemu.runTo(this.#rip)) break;
      left--;
    }
    const found = this.#compare(comparison, first);
    this.#synced = this.steps;
    return found ?? this.#compareMemoryAtTimes(first);
  }

  #compare(comparison: Comparison, first = this.steps - 1): Divergence | undefined {
    const flags = this.#undefinedFlags;
    this.#undefinedFlags = 0;
    if (!comparison.agrees(flags)) return this.#divergence(comparison.differences(flags), [], first);
    if (flags !== 0 && comparison === this.#comparison) this.#takeUndefinedFlags(flags);
    return undefined;
  }

  #compareMemoryAtTimes(first?: number): Divergence | undefined {
    const { memoryEvery = 0 } = this.#options;
    if (memoryEvery === 0 || this.steps < this.#memoryNext) return undefined;
    this.#memoryNext = this.steps + memoryEvery;
    return this.compareMemory(first);
  }

  /** Makes QEMU do what we just did; returns the flags that may differ. */
  #follow(own: boolean, repeated: boolean, events: number): number {
    const faulted = (events & EVENT.fault) !== 0;
    if ((events & EVENT.interrupt) !== 0) return this.#give('interrupts', true);
    if (own || (events & EVENT.own) !== 0) return this.#give('own', faulted);
    if ((events & EVENT.device) !== 0) return this.#give('devices', faulted);
    if (repeated) this.#repeat();
    else this.#qemu.step();
    return this.#fetched && !faulted ? flagEffects(this.#insn).undefines : 0;
  }

  /** QEMU steps through a repeated instruction one time at a time. */
  #repeat(): void {
    const next = this.#rip + BigInt(this.#length);
    const completed = this.software.vcpu.state.rip === next;
    do {
      this.#qemu.step();
      if (completed && this.#qemu.get('rip') === this.#rip) this.#qemu.runTo(next);
    } while (this.#qemu.get('rip') === this.#rip);
  }

  #give(reason: keyof Lockstep['taken'], withStack: boolean): number {
    this.taken[reason]++;
    this.#comparison.copyToQemu();
    const { state } = this.software.vcpu;
    if (withStack) this.#copyPages(state.reg(4) - BigInt(PAGE / 2));
    if (this.#insn.op === OP.ins || this.#insn.op === OP.movs || this.#insn.op === OP.stos) {
      this.#copyPages(state.reg(7) - BigInt(PAGE / 2));
    }
    for (const { gpa, length } of this.software.written) {
      this.#qemu.writeMemory(gpa, this.software.memory.slice(gpa, length));
    }
    return 0;
  }

  /** Copies our page at a linear address, and the next one, to QEMU. */
  #copyPages(linear: bigint): void {
    for (const address of [linear, linear + BigInt(PAGE)]) {
      const gpa = this.software.vcpu.translate(address);
      if (gpa === undefined || !this.software.memory.contains(gpa - (gpa % PAGE), PAGE)) continue;
      const page = gpa - (gpa % PAGE);
      this.#qemu.writeMemory(page, this.software.memory.slice(page, PAGE));
    }
  }

  #takeUndefinedFlags(mask: number): void {
    const { state } = this.software.vcpu;
    const flags = this.#qemu.view.getUint32(136, true);
    if (((state.rflags ^ flags) & mask) !== 0) state.rflags = (state.rflags & ~mask) | (flags & mask);
  }

  /** Goes on with QEMU's state after a divergence. False if that is not possible. */
  resync(): boolean {
    const ok = this.#comparison.differences(0).every((difference) => this.#comparison.copyFromQemu(difference));
    for (const page of this.#differentPages()) {
      const bytes = Buffer.alloc(PAGE);
      this.#qemu.readMemory(page, bytes);
      this.software.memory.slice(page, PAGE).set(bytes);
    }
    return ok;
  }

  /** The first places of guest memory that differ. */
  compareMemory(first = this.steps - 1): Divergence | undefined {
    const lines: string[] = [];
    const theirs = Buffer.alloc(PAGE);
    for (const page of this.#differentPages()) {
      this.#qemu.readMemory(page, theirs);
      const ours = Buffer.from(this.software.memory.slice(page, PAGE));
      for (let at = 0; at < PAGE && lines.length < 10; at += 8) {
        const [a, b] = [ours.readBigUInt64LE(at), theirs.readBigUInt64LE(at)];
        if (a !== b) lines.push(`memory ${hex(page + at)}: ours ${hex(a)}, QEMU ${hex(b)}`);
      }
    }
    return lines.length === 0 ? undefined : this.#divergence([], lines, first);
  }

  #differentPages(): number[] {
    const { memory } = this.software;
    const CHUNK = 1 << 20;
    const theirs = Buffer.alloc(CHUNK);
    const pages: number[] = [];
    for (let gpa = 0; gpa < memory.size; gpa += CHUNK) {
      this.#qemu.readMemory(gpa, theirs);
      const ours = memory.slice(gpa, CHUNK);
      if (theirs.compare(ours) === 0) continue;
      for (let at = 0; at < CHUNK; at += PAGE) {
        if (theirs.compare(ours, at, at + PAGE, at, at + PAGE) !== 0) pages.push(gpa + at);
      }
    }
    return pages;
  }

  /** Decodes the instruction at our RIP, if it is mapped. */
  #fetch(): void {
    const { vcpu, memory } = this.software;
    const { state } = vcpu;
    this.#rip = state.rip;
    const linear = (state.rip + state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
    const first = vcpu.translate(linear);
    this.#fetched = first !== undefined && memory.contains(first, 1);
    if (!this.#fetched) return;
    const inPage = Math.min(MAX_INSN, PAGE - (first! % PAGE));
    this.#bytes.fill(0);
    this.#bytes.set(memory.slice(first!, inPage));
    if (inPage < MAX_INSN) {
      const second = vcpu.translate(linear + BigInt(inPage));
      if (second !== undefined && memory.contains(second, MAX_INSN)) {
        this.#bytes.set(memory.slice(second, MAX_INSN - inPage), inPage);
      }
    }
    this.#length = decode(this.#bytes, 0, MAX_INSN, codeSizeOf(state.u32(CPU.mode)), this.#insn);
    if (this.#length <= 0) this.#fetched = false;
    this.#remember();
  }

  #remember(): void {
    const entry = this.#history[this.#historyNext]!;
    this.#historyNext = (this.#historyNext + 1) % HISTORY;
    entry.rip = this.#rip;
    entry.mode = this.software.vcpu.state.u32(CPU.mode);
    entry.bytes.set(this.#bytes);
  }

  #divergence(differences: readonly Difference[], lines: readonly string[], first: number): Divergence {
    const oldest = this.#historyNext;
    const history = [...this.#history.slice(oldest), ...this.#history.slice(0, oldest)].map(textOf);
    return {
      first,
      step: Math.max(first, this.steps - 1),
      operation: OPS[this.#insn.op] ?? 'invalid',
      text: history.pop() ?? '',
      differences: [...differences.map(describe), ...lines],
      history,
    };
  }
}

function textOf({ rip, mode, bytes }: Executed): string {
  const insn = new Insn();
  const length = Math.max(1, decode(bytes, 0, MAX_INSN, codeSizeOf(mode), insn));
  const code = Buffer.from(bytes.subarray(0, length)).toString('hex');
  return `${hex(rip)}  ${code.padEnd(22)} ${formatInsn(insn, rip)}`;
}

function describe({ name, ours, qemus }: Difference): string {
  return `${name}: ours ${hex(ours)}, QEMU ${hex(qemus)}`;
}
