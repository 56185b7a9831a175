/** Runs our CPU and QEMU side by side. */
import { flagEffects } from '../../e2e/differential/flag-effects.ts';
import { decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { formatInsn } from '../../src/hypervisor/soft/decode/format.ts';
import { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { OP, OPS } from '../../src/hypervisor/soft/decode/opcodes.ts';
import { codeSizeOf } from '../../src/hypervisor/soft/modes.ts';
import { CPU } from '../../src/hypervisor/soft/state.ts';
import { Comparison, type Difference } from './compare.ts';
import { Qemu } from './qemu.ts';
import { EVENT, isOwn, type LockstepGuest, Software } from './software.ts';

const PAGE = 4096;
const MAX_INSN = 15;
const HISTORY = 12;
const STRING_OPS = new Set<number>([OP.movs, OP.stos, OP.lods, OP.cmps, OP.scas, OP.outs]);

export interface LockstepOptions {
  /** Compares the SSE registers too. */
  readonly vectors?: boolean;
  /** Compares all of guest memory after every so many instructions; 0 for never. */
  readonly memoryEvery?: number;
}

export interface Divergence {
  /** Instructions before the one that differs. */
  readonly step: number;
  readonly operation: string;
  /** The instruction, with its address and bytes. */
  readonly text: string;
  readonly differences: readonly string[];
  /** The instructions before, the latest last. */
  readonly history: readonly string[];
}

interface Decoded {
  readonly rip: bigint;
  readonly insn: Insn;
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
  readonly #options: LockstepOptions;
  readonly #insn = new Insn();
  readonly #bytes = new Uint8Array(MAX_INSN);
  readonly #history: Decoded[] = [];
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
    const differences = this.#comparison.differences(0);
    if (differences.length > 0) throw new Error(`the entry states differ: ${differences.map(describe).join('; ')}`);
  }

  [Symbol.dispose](): void {
    this.#qemu[Symbol.dispose]();
    this.software[Symbol.dispose]();
  }

  /** Executes one instruction on both sides; what they differ in then, if anything. */
  step(): Divergence | undefined {
    this.#fetch();
    const own = this.#fetched && isOwn(this.#insn, this.software.vcpu.state.reg(1));
    const repeated = this.#fetched && this.#insn.rep !== 0 && STRING_OPS.has(this.#insn.op);
    const events = this.software.step(repeated);
    const undefinedFlags = this.#follow(own, repeated, events);
    this.steps++;
    if (!this.#comparison.agrees(undefinedFlags)) return this.#divergence(this.#comparison.differences(undefinedFlags));
    if (undefinedFlags !== 0) this.#takeUndefinedFlags(undefinedFlags);
    const { memoryEvery = 0 } = this.#options;
    if (memoryEvery > 0 && this.steps % memoryEvery === 0) return this.compareMemory();
    return undefined;
  }

  /** Makes QEMU do the same; returns the flags that may differ. */
  #follow(own: boolean, repeated: boolean, events: number): number {
    if ((events & EVENT.interrupt) !== 0) return this.#give('interrupts', true);
    if (own || (events & EVENT.own) !== 0) return this.#give('own', (events & EVENT.fault) !== 0);
    if ((events & EVENT.device) !== 0) return this.#give('devices', (events & EVENT.fault) !== 0);
    if (repeated) this.#repeat();
    else this.#qemu.step();
    return this.#fetched && (events & EVENT.fault) === 0 ? flagEffects(this.#insn).undefines : 0;
  }

  /** QEMU steps through a repeated instruction one time at a time. */
  #repeat(): void { if (process.env.DBG) console.error("rep", this.steps, this.where(), hex(this.software.vcpu.state.rip), this.software.written.length);
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
  compareMemory(): Divergence | undefined {
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
    return lines.length === 0 ? undefined : this.#divergence([], lines);
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

  where() { return formatInsn(this.#insn, this.#rip) + ' ' + hex(this.#rip) + ' cx ' + this.software.vcpu.state.reg(1); }

  #remember(): void {
    this.#history.push({ rip: this.#rip, insn: structuredClone(this.#insn), bytes: this.#bytes.slice() });
    if (this.#history.length > HISTORY) this.#history.shift();
  }

  #divergence(differences: readonly Difference[], lines: readonly string[] = []): Divergence {
    const history = this.#history.map(({ rip, insn, bytes }) => {
      const code = Buffer.from(bytes.subarray(0, Math.max(insn.length, 1))).toString('hex');
      return `${hex(rip)}  ${code.padEnd(22)} ${formatInsn(insn, rip)}`;
    });
    return {
      step: this.steps - 1,
      operation: OPS[this.#insn.op] ?? 'invalid',
      text: history.pop() ?? '',
      differences: [...differences.map(describe), ...lines],
      history,
    };
  }
}

function describe({ name, ours, qemus }: Difference): string {
  return `${name}: ours ${hex(ours)}, QEMU ${hex(qemus)}`;
}
