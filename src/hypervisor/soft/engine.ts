/**
 * Runs guest code of one vCPU: the core module's instance, the decoded code, and the calls between WebAssembly and
 * TypeScript. What the guest's faults, system instructions and I/O mean is the business of the hooks.
 */
import { VECTOR } from './architecture.ts';
import { CodeCache, type CodeOptions } from './code-cache.ts';
import { DECODE_MORE, decode } from './decode/decode.ts';
import { Insn, OPERAND, SEG } from './decode/insn.ts';
import { OP } from './decode/opcodes.ts';
import { type CoreHost, compileCore } from './interpreter/core.ts';
import { MicroOpTable } from './interpreter/micro-op-table.ts';
import { LAST, RECORD } from './interpreter/record.ts';
import { ACCESS, NON_CANONICAL } from './mmu/walk.ts';
import { codeSizeOf, MODE } from './modes.ts';
import { CPU, SLOT } from './state.ts';
import { type CoreExports, type CpuState, GuestFault } from './system/cpu-state.ts';

/** How execution goes on: behind the instruction, at CPU.rip, or not at all (run() returns). */
export type Next = 'next' | 'jump' | 'leave';

export interface EngineHooks {
  /** Executes an instruction; CPU.rip is its address. May throw GuestFault. */
  execute(insn: Insn): Next;
  /** Delivers a fault of the instruction at CPU.rip; 'jump' or 'leave'. */
  fault(vector: number, errorCode: number): Next;
  /** Emit.exact: 0, or 1 + vector of a fault. */
  exact(op: number, a: number, b: number, imm: number): number;
  /** I/O of `size` bytes through CPU.io. */
  mmioRead(gpa: number, size: number): void;
  mmioWrite(gpa: number, size: number): void;
  portRead(port: number, size: number): void;
  portWrite(port: number, size: number): void;
  /** Time stamp counter: a safe integer. */
  timeStamp(): number;
  /** Code was fetched from `gpa`, which is not RAM. */
  fetchFromNowhere(gpa: number): void;
}

export interface EngineOptions extends CodeOptions {
  /** What compileCore() gave some thread. */
  readonly compiled?: WebAssembly.Module;
  /**
   * With `exactTime`: the instruction at CPU.rip accesses a device, so it must be executed alone (MODE.step). run() comes
   * back; nothing of it has been done.
   */
  readonly onNeedsAlone?: () => void;
}

/**
 * How many instructions run() may execute beyond its budget: those of a compiled region, which looks at it only before
 * jumps back, of the block behind that, and the charge of an unfinished repetition.
 */
export const MAX_OVERSHOOT = 2560;

/** In CPU.fault: not the guest's fault, see EngineOptions.onNeedsAlone. */
const NEEDS_ALONE = NON_CANONICAL + 1;

const CONTINUE = 1;
const JUMP = 0;
const LEAVE = -1;
const STATUS = { next: CONTINUE, jump: JUMP, leave: LEAVE } as const;
const MAX_INSN = 15;
const RSP = 4;

/** Instructions that access the stack, besides what their operands say. */
const STACK_OPS = new Set(
  (['push', 'pop', 'pushf', 'popf', 'call', 'callIndirect', 'ret', 'enter', 'leave'] as const).map((name) => OP[name]),
);

/** Whether the access to a non-canonical address that `insn` made goes to the stack segment: #SS instead of #GP. */
function usesStack(insn: Insn, state: CpuState): boolean {
  const operand = [insn.a, insn.b].some(({ kind }) => kind === OPERAND.mem);
  if (!STACK_OPS.has(insn.op)) return insn.seg === SEG.ss;
  // Of two accesses the stack's is meant if its address is the bad one.
  return !operand || insn.seg === SEG.ss || !isCanonical(state.reg(RSP));
}

function isCanonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
}

export class Engine {
  readonly state: CpuState;
  readonly code: CodeCache;
  readonly #hooks: EngineHooks;
  readonly #core: CoreExports;
  readonly #insn = new Insn();
  readonly #insnBytes = new Uint8Array(MAX_INSN);
  readonly #onNeedsAlone: (() => void) | undefined;
  /** CPU.budget when run() began. */
  #budget = 0;
  /** What run() executed the last time. */
  #executed = 0;
  /** The record whose callout is under way; 0: none is. */
  #calling = 0;
  /** Whether accesses are those of generated code; otherwise TypeScript works for the guest. */
  #inGenerated = false;
  /** An error of ours: thrown through WebAssembly it would cost nothing but clarity, so run() throws it. */
  #failure: unknown;

  constructor(
    memory: WebAssembly.Memory,
    vcpu: number,
    state: CpuState,
    hooks: EngineHooks,
    options: EngineOptions = {},
  ) {
    this.state = state;
    this.#hooks = hooks;
    this.#onNeedsAlone = options.exactTime === true ? options.onNeedsAlone : undefined;
    const host = this.#imports();
    const module = options.compiled ?? compileCore();
    const { handlers, ...core } = new WebAssembly.Instance(module, { env: { memory, ...host } }).exports;
    this.#core = core as unknown as CoreExports;
    state.core = this.#core;
    const table = handlers as unknown as WebAssembly.Table;
    const ops = new MicroOpTable(memory, host, core, table, options.kept?.contents?.operations);
    this.code = new CodeCache(state, vcpu, ops, options);
  }

  /**
   * Runs until a block end with `budget` instructions executed or attention asked for, or until a hook says 'leave'.
   * Returns how many instructions that were: at most MAX_OVERSHOOT more.
   */
  run(budget: number): number {
    const { state } = this;
    state.setU32(CPU.budget, budget);
    this.#budget = budget;
    this.code.jit?.look(this.#executed);
    const record = this.#core.findCode(state.block) || this.#lookup();
    if (record > 0) {
      this.#inGenerated = true;
      this.#core.run(state.block, record);
      this.#inGenerated = false;
    }
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    this.#budget = state.u32(CPU.budget) | 0;
    this.#executed = budget - this.#budget;
    return this.#executed;
  }

  /** The functions of the core module. */
  get coreFunctions(): CallableFunction[] {
    return Object.values(this.#core).filter((value) => typeof value === 'function');
  }

  /**
   * How many instructions run() has executed before the one that is executed now; 0 outside of run(). Exact for those
   * that TypeScript executes, and for those that are alone in their block.
   */
  get executed(): number {
    const charged = this.#budget - (this.state.u32(CPU.budget) | 0);
    const record = this.#calling;
    if (record === 0) return charged;
    return this.#isLast(record) ? charged - 1 : charged + this.code.executedBefore(record);
  }

  /** The instruction at CPU.rip, if it can be fetched; valid until the next call. */
  peek(): Insn | undefined {
    try {
      return this.#decodedAtRip();
    } catch (error) {
      if (error instanceof GuestFault) return undefined;
      throw error;
    }
  }

  #imports(): CoreHost {
    const hooks = this.#hooks;
    const { state } = this;
    const gpa = () => state.u32(CPU.scratch) + state.u32(CPU.scratch + 4) * 0x1_0000_0000;
    return {
      mmioRead: (_cpu: number, size: number) => {
        if (!this.#mustBeAlone()) hooks.mmioRead(gpa(), size);
      },
      mmioWrite: (_cpu: number, size: number) => {
        if (!this.#mustBeAlone()) hooks.mmioWrite(gpa(), size);
      },
      codeWritten: (_cpu: number, size: number) => this.code.written(gpa(), size),
      deliverFault: (_cpu: number, record: number) => this.#forRecord(record, true),
      callout: (_cpu: number, record: number) => this.#forRecord(record, false),
      exact: (_cpu: number, op: number, a: number, b: number, imm: number) => {
        const fault = hooks.exact(op, a, b, imm);
        if (fault !== 0) {
          state.setU32(CPU.fault, fault);
          state.setU32(CPU.faultError, 0);
        }
      },
      lookup: () => this.#guard(() => this.#lookup()),
      lookUpAgain: (_cpu: number, record: number) => this.#guard(() => this.#lookUpAgain(record)),
      hot: (_cpu: number, record: number) => this.code.jit!.hot(record),
      link: (_cpu: number, record: number) => this.#guard(() => this.#link(record)),
      portRead: (_cpu: number, port: number, size: number) => hooks.portRead(port, size),
      portWrite: (_cpu: number, port: number, size: number) => hooks.portWrite(port, size),
      timeStamp: () => this.#writeIo(hooks.timeStamp()),
    };
  }

  /** Whether the access that generated code is about to make must wait until its instruction is alone. */
  #mustBeAlone(): boolean {
    const { state } = this;
    if (this.#onNeedsAlone === undefined || !this.#inGenerated) return false;
    if ((state.u32(CPU.mode) & MODE.step) !== 0) return false;
    state.setU32(CPU.fault, NEEDS_ALONE + 1);
    return true;
  }

  #writeIo(value: number): void {
    this.state.setU32(CPU.io, value % 0x1_0000_0000);
    this.state.setU32(CPU.io + 4, Math.floor(value / 0x1_0000_0000));
  }

  #guard(body: () => number): number {
    const outer = this.#inGenerated;
    this.#inGenerated = false;
    try {
      return body();
    } catch (error) {
      return this.#caught(error);
    } finally {
      this.#inGenerated = outer;
    }
  }

  /** Delivers the fault of a record, or executes its instruction: as #guard, but it is worth having no closure. */
  #forRecord(record: number, faults: boolean): number {
    const outer = this.#inGenerated;
    this.#inGenerated = false;
    try {
      return faults ? this.#deliverFault(record) : this.#callout(record);
    } catch (error) {
      return this.#caught(error);
    } finally {
      this.#inGenerated = outer;
    }
  }

  /** Delivers a fault of the guest; an error of ours is for run(). */
  #caught(error: unknown): number {
    if (error instanceof GuestFault) return this.#fault(error);
    this.#failure = error;
    return LEAVE;
  }

  #fault({ vector, errorCode }: GuestFault): number {
    return STATUS[this.#hooks.fault(vector, errorCode)];
  }

  /** The record to go on with at CPU.rip; or a status. */
  #lookup(): number {
    try {
      return this.#found(this.code.lookup());
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#charge(1);
      return this.#fault(error);
    }
  }

  /** The code of `record` was overwritten: what to execute instead. */
  #lookUpAgain(record: number): number {
    this.#setRip(record);
    this.#charge(this.code.executedBefore(record));
    return this.#lookup();
  }

  #link(record: number): number {
    const { state } = this;
    const target = state.u64(SLOT.page) + BigInt(state.view.getInt32(record + RECORD.imm, true));
    state.rip = (target - state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
    try {
      return this.#found(this.code.link(record));
    } catch (error) {
      if (error instanceof GuestFault) this.#charge(1);
      throw error;
    }
  }

  #found(record: number): number {
    if (record !== 0) return record;
    this.#hooks.fetchFromNowhere(Number(this.state.u64(CPU.scratch)));
    return LEAVE;
  }

  /** Sets CPU.rip to the instruction of `record`. */
  #setRip(record: number): void {
    const { state } = this;
    const offset = state.view.getUint16(record + RECORD.start, true) & 0xfff;
    if (this.#is64BitCode()) {
      state.setU32(CPU.rip, state.u32(SLOT.page) | offset);
      state.setU32(CPU.rip + 4, state.u32(SLOT.page + 4));
      return;
    }
    const start = BigInt(offset);
    state.rip = (state.u64(SLOT.page) + start - state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
  }

  /** Whether linear addresses are RIP as it is. */
  #is64BitCode(): boolean {
    return (this.state.u32(CPU.mode) & MODE.codeSize) === 2;
  }

  /** Charges the budget for instructions. One that faults counts too, so that no loop is free of charge. */
  #charge(instructions: number): void {
    const { state } = this;
    state.setU32(CPU.budget, state.u32(CPU.budget) - instructions);
  }

  #deliverFault(record: number): number {
    const { state } = this;
    this.#setRip(record);
    const vector = state.u32(CPU.fault) - 1;
    const error = state.u32(CPU.faultError);
    state.setU32(CPU.fault, 0);
    if (vector === NEEDS_ALONE) {
      this.#charge(this.code.executedBefore(record));
      this.#onNeedsAlone!();
      return LEAVE;
    }
    this.#charge(this.code.executedBefore(record) + 1);
    if (vector !== NON_CANONICAL) return STATUS[this.#hooks.fault(vector, error)];
    const insn = this.#decodedAtRip();
    return STATUS[this.#hooks.fault(usesStack(insn, state) ? VECTOR.ss : VECTOR.gp, 0)];
  }

  #callout(record: number): number {
    const { state } = this;
    this.#setRip(record);
    this.#calling = record;
    const status = this.#executeCallout(record);
    this.#calling = 0;
    // The last record of a block has charged for it, and has no neighbour to go on with.
    if (this.#isLast(record)) return status === CONTINUE ? JUMP : status;
    // A device may have ended the VM.
    if (status === CONTINUE && state.u32(CPU.attention) === 0) return CONTINUE;
    this.#charge(this.code.executedBefore(record) + 1);
    return status === CONTINUE ? JUMP : status;
  }

  #executeCallout(record: number): number {
    try {
      return this.#execute(this.code.calloutAt(record) ?? this.#decodedAtRip());
    } catch (error) {
      return this.#caught(error);
    }
  }

  #isLast(record: number): boolean {
    return (this.state.view.getUint16(record + RECORD.start, true) & LAST) !== 0;
  }

  /** Executes the instruction at CPU.rip. */
  #execute(insn: Insn): number {
    const { state } = this;
    const low = state.u32(CPU.rip);
    const high = state.u32(CPU.rip + 4);
    const next = this.#hooks.execute(insn);
    if (next !== 'next') return STATUS[next];
    const end = low + insn.length;
    state.setU32(CPU.rip, end);
    // Outside of 64-bit code RIP has 32 bits.
    state.setU32(CPU.rip + 4, this.#is64BitCode() ? high + (end > 0xffff_ffff ? 1 : 0) : 0);
    return CONTINUE;
  }

  /** Decodes the instruction at CPU.rip once more, for TypeScript; valid until the next call. */
  #decodedAtRip(): Insn {
    const { state } = this;
    const linear = (state.rip + state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
    const inPage = 4096 - Number(linear & 0xfffn);
    const codeSize = codeSizeOf(state.u32(CPU.mode));
    const bytes = this.#insnBytes;
    this.#fetchBytes(linear, 0);
    let length = decode(bytes, 0, Math.min(inPage, MAX_INSN), codeSize, this.#insn);
    if (length === DECODE_MORE) {
      this.#fetchBytes(linear + BigInt(inPage), inPage);
      length = decode(bytes, 0, MAX_INSN, codeSize, this.#insn);
    }
    if (length <= 0) state.raise(VECTOR.ud); // the bytes changed since
    return this.#insn;
  }

  /** Fills #insnBytes from `offset` on with what stands at `linear`, as far as the page goes. */
  #fetchBytes(linear: bigint, offset: number): void {
    const { state } = this;
    const access = ACCESS.fetch | (state.cpl === 3 ? ACCESS.user : 0);
    const host = this.#core.translate(state.block, BigInt.asIntN(64, linear), access);
    // The instruction was decoded from RAM, but the guest may have changed the mapping since.
    if (host === -1) state.throwFault(state.u32(CPU.fault));
    if (host === 0) state.raise(VECTOR.ud);
    const size = Math.min(4096 - Number(linear & 0xfffn), MAX_INSN - offset);
    this.#insnBytes.set(state.bytes.subarray(host >>> 0, (host >>> 0) + size), offset);
  }
}
