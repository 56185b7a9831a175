/**
 * Runs guest code of one vCPU: the core module's instance, the decoded code, and the calls between WebAssembly and
 * TypeScript. What the guest's faults, system instructions and I/O mean is the business of the hooks.
 */
import { CodeCache } from './code-cache.ts';
import { DECODE_INVALID, decode } from './decode/decode.ts';
import { Insn, OPERAND, SEG } from './decode/insn.ts';
import { OP } from './decode/opcodes.ts';
import { type CoreHost, compileCore, MicroOpTable } from './interpreter/core.ts';
import { LAST, RECORD } from './interpreter/record.ts';
import { ACCESS, NON_CANONICAL } from './mmu/mmu.ts';
import { codeSizeOf } from './modes.ts';
import { CPU, SLOT } from './state.ts';
import { type CoreExports, type CpuState, GuestFault, VECTOR } from './system/cpu-state.ts';

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
  /** An error of ours: thrown through WebAssembly it would cost nothing but clarity, so run() throws it. */
  #failure: unknown;

  /** `compiled`: what compileCore() gave some thread. */
  constructor(
    memory: WebAssembly.Memory,
    vcpu: number,
    state: CpuState,
    hooks: EngineHooks,
    compiled: WebAssembly.Module = compileCore(),
  ) {
    this.state = state;
    this.#hooks = hooks;
    const host = this.#imports();
    const { handlers, ...core } = new WebAssembly.Instance(compiled, { env: { memory, ...host } }).exports;
    this.#core = core as unknown as CoreExports;
    state.core = this.#core;
    const table = handlers as unknown as WebAssembly.Table;
    this.code = new CodeCache(state, vcpu, new MicroOpTable(memory, host, core, table));
  }

  /** Runs until a block end with the budget used up or attention asked for, or until a hook says 'leave'. */
  run(): void {
    const { state } = this;
    const record = this.#lookup();
    if (record > 0) this.#core.run(state.block, record);
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
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
    const gpa = () => Number(state.u64(CPU.scratch));
    return {
      mmioRead: (_cpu: number, size: number) => hooks.mmioRead(gpa(), size),
      mmioWrite: (_cpu: number, size: number) => hooks.mmioWrite(gpa(), size),
      codeWritten: (_cpu: number, size: number) => this.code.written(gpa(), size),
      deliverFault: (_cpu: number, record: number) => this.#guard(() => this.#deliverFault(record)),
      callout: (_cpu: number, record: number) => this.#guard(() => this.#callout(record)),
      exact: (_cpu: number, op: number, a: number, b: number, imm: number) => {
        const fault = hooks.exact(op, a, b, imm);
        if (fault !== 0) {
          state.setU32(CPU.fault, fault);
          state.setU32(CPU.faultError, 0);
        }
      },
      lookup: () => this.#guard(() => this.#lookup()),
      link: (_cpu: number, record: number) => this.#guard(() => this.#link(record)),
      portRead: (_cpu: number, port: number, size: number) => hooks.portRead(port, size),
      portWrite: (_cpu: number, port: number, size: number) => hooks.portWrite(port, size),
      timeStamp: () => this.#writeIo(hooks.timeStamp()),
    };
  }

  #writeIo(value: number): void {
    this.state.setU32(CPU.io, value % 0x1_0000_0000);
    this.state.setU32(CPU.io + 4, Math.floor(value / 0x1_0000_0000));
  }

  #guard(body: () => number): number {
    try {
      return body();
    } catch (error) {
      if (error instanceof GuestFault) return STATUS[this.#hooks.fault(error.vector, error.errorCode)];
      this.#failure = error;
      return LEAVE;
    }
  }

  /** The record to go on with at CPU.rip; or a status. */
  #lookup(): number {
    try {
      return this.#found(this.code.lookup());
    } catch (error) {
      if (error instanceof GuestFault) return STATUS[this.#hooks.fault(error.vector, error.errorCode)];
      throw error;
    }
  }

  #link(record: number): number {
    const { state } = this;
    const target = state.u64(SLOT.page) + BigInt(state.view.getInt32(record + RECORD.imm, true));
    state.rip = (target - state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
    return this.#found(this.code.link(record));
  }

  #found(record: number): number {
    if (record !== 0) return record;
    this.#hooks.fetchFromNowhere(Number(this.state.u64(CPU.scratch)));
    return LEAVE;
  }

  /** Sets CPU.rip to the instruction of `record`. */
  #setRip(record: number): void {
    const { state } = this;
    const start = BigInt(state.view.getUint16(record + RECORD.start, true) & 0xfff);
    state.rip = (state.u64(SLOT.page) + start - state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
  }

  /** Charges the budget for the instructions of the block before the one of `record`. */
  #account(record: number): void {
    const { state } = this;
    state.setU32(CPU.budget, state.u32(CPU.budget) - this.code.executedBefore(record));
  }

  #deliverFault(record: number): number {
    const { state } = this;
    this.#setRip(record);
    this.#account(record);
    const vector = state.u32(CPU.fault) - 1;
    const error = state.u32(CPU.faultError);
    state.setU32(CPU.fault, 0);
    if (vector !== NON_CANONICAL) return STATUS[this.#hooks.fault(vector, error)];
    return this.#guard(() => {
      const insn = this.#decodedAtRip();
      return STATUS[this.#hooks.fault(usesStack(insn, state) ? VECTOR.ss : VECTOR.gp, 0)];
    });
  }

  #callout(record: number): number {
    const { state } = this;
    this.#setRip(record);
    const insn = this.code.calloutAt(record) ?? this.#decodedAtRip();
    const rip = state.rip;
    const next = this.#hooks.execute(insn);
    if (next !== 'next') return STATUS[next];
    const is64 = state.u64(CPU.ripMask) > 0xffff_ffffn;
    state.rip = is64 ? BigInt.asUintN(64, rip + BigInt(insn.length)) : (rip + BigInt(insn.length)) & 0xffff_ffffn;
    // The last record of a block has no neighbour to go on with; and a device may have ended the VM.
    if ((state.view.getUint16(record + RECORD.start, true) & LAST) !== 0) return JUMP;
    if (state.u32(CPU.attention) === 0) return CONTINUE;
    this.#account(record);
    return JUMP;
  }

  /** Decodes the instruction at CPU.rip once more, for TypeScript; valid until the next call. */
  #decodedAtRip(): Insn {
    const { state } = this;
    const linear = (state.rip + state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
    const inPage = 4096 - Number(linear & 0xfffn);
    const access = ACCESS.fetch | (state.cpl === 3 ? ACCESS.user : 0);
    const at = (va: bigint) => this.#core.translate(state.block, BigInt.asIntN(64, va), access) >>> 0;
    const bytes = this.#insnBytes;
    const first = at(linear);
    bytes.set(state.bytes.subarray(first, first + Math.min(inPage, MAX_INSN)));
    if (inPage < MAX_INSN) {
      const second = at(linear + BigInt(inPage)); // if it is not mapped the instruction does not need it
      if (second !== 0xffff_ffff) bytes.set(state.bytes.subarray(second, second + MAX_INSN - inPage), inPage);
      state.setU32(CPU.fault, 0);
    }
    const length = decode(bytes, 0, MAX_INSN, codeSizeOf(state.u32(CPU.mode)), this.#insn);
    if (length <= DECODE_INVALID) state.raise(VECTOR.ud); // the bytes changed since
    return this.#insn;
  }
}
