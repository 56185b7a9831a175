/** Runs test cases on the software CPU: privilege 3, with page tables that map what the harness maps. */
import { CR0, CR4, CS, EFER, VECTOR } from '../../src/hypervisor/soft/architecture.ts';
import type { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { OP, OPS } from '../../src/hypervisor/soft/decode/opcodes.ts';
import { Engine, type EngineHooks, type Next } from '../../src/hypervisor/soft/engine.ts';
import { Exact } from '../../src/hypervisor/soft/fpu/exact.ts';
import { X87 } from '../../src/hypervisor/soft/fpu/x87.ts';
import { createMachineMemory, guestMemoryOf } from '../../src/hypervisor/soft/machine-memory.ts';
import { CPU } from '../../src/hypervisor/soft/state.ts';
import { CpuState } from '../../src/hypervisor/soft/system/cpu-state.ts';
import { execute, isSystem } from '../../src/hypervisor/soft/system/dispatch.ts';
import { isX87, x87 } from '../../src/hypervisor/soft/system/fpu-instructions.ts';
import {
  CODE,
  CODE_PAGES,
  CODE_SEGMENT_32,
  CODE_SEGMENT_64,
  DATA_SEGMENT,
  FS_BASE,
  GS_BASE,
  MEMORY_PAGES,
  PAGE,
  pageAddress,
  READ_ONLY_PAGE,
} from './layout.ts';
import { systemCpu } from './system-cpu.ts';
import { type Change, link, MISSING, type Outcome, type TestCase, TIMED_OUT } from './test-case.ts';

/** Guest physical places: tables, then the code pages, then the pages of the memory image. */
const TABLES = 0x1000;
const CODE_GPA = 0x10_0000;
const MEMORY_GPA = 0x20_0000;
const RAM = 4 << 20;
const NO_EXECUTE = 1n << 63n;
/** Instructions after which a sequence counts as stuck. */
const LIMIT = 100_000;
/** The same for returns of the engine. */
const MOST_RUNS = 10_000;

/** Sequences are run in so many ways, one after the other: interrupted or not, 32-bit code flat or not. */
export const WAYS = 4;

export class Software {
  readonly #state: CpuState;
  readonly #engine: Engine;
  readonly #code: Uint8Array;
  readonly #codeBefore = new Uint8Array(CODE_PAGES * PAGE);
  readonly #memory: Uint8Array;
  #memoryBefore = new Uint8Array(MEMORY_PAGES * PAGE);
  #vector = TIMED_OUT;
  #error = 0;
  #missing: string | undefined;
  #left = false;
  #cases = 0;

  /** `jitThreshold`: executions of a block before it is compiled; Infinity: only the interpreter. */
  constructor(jitThreshold: number) {
    const machine = createMachineMemory({ memory: [{ gpa: 0, size: RAM }], cpus: 1 });
    const guest = guestMemoryOf(machine);
    this.#state = new CpuState(machine.memory.buffer, 0);
    this.#engine = new Engine(machine.memory, 0, this.#state, this.#hooks(), { jitThreshold });
    const ram = machine.memory.buffer.byteLength;
    if (ram < RAM) throw new Error('too little memory');
    this.#code = guest.slice(CODE_GPA, CODE_PAGES * PAGE);
    this.#memory = guest.slice(MEMORY_GPA, MEMORY_PAGES * PAGE);
    writeTables(guest.slice(0, CODE_GPA));
    this.#code.fill(0xcc);
    this.#codeBefore.fill(0xcc);
    this.#setUpSystem();
  }

  /** Runs cases that all start with the same memory. */
  run(memory: Uint8Array, cases: readonly TestCase[]): Outcome[] {
    this.#memoryBefore = memory.slice();
    this.#memory.set(memory);
    return cases.map((test) => this.#runCase(test));
  }

  #hooks(): EngineHooks {
    const leave = (vector: number): Next => {
      this.#vector = vector;
      this.#left = true;
      return 'leave';
    };
    const { view, block } = this.#state;
    const cpu = systemCpu(this.#state, new X87(view, block));
    const exact = new Exact(view, block);
    return {
      execute: (insn: Insn): Next => {
        if (insn.op === OP.int3) return leave(VECTOR.bp);
        if (!isX87(insn.op) && !isSystem(insn.op)) {
          this.#missing = OPS[insn.op]!;
          return leave(MISSING);
        }
        const next = isX87(insn.op) ? x87(cpu, cpu.fpu, insn) : execute(cpu, insn);
        return next === 'next' || next === 'jump' ? next : leave(TIMED_OUT);
      },
      fault: (vector, error) => {
        this.#error = error;
        return leave(vector);
      },
      exact: (op, a, b, imm) => exact.execute(op, a, b, imm),
      mmioRead: () => {},
      mmioWrite: () => {},
      portRead: () => {},
      portWrite: () => {},
      timeStamp: () => 0,
      fetchFromNowhere: () => {
        this.#left = true;
      },
    };
  }

  #setUpSystem(): void {
    const s = this.#state;
    s.setU32(CPU.cr0, CR0.pe | CR0.mp | CR0.et | CR0.ne | CR0.wp | CR0.am | CR0.pg);
    s.setU64(CPU.cr3, BigInt(TABLES));
    s.setU64(CPU.cr4, BigInt(CR4.pae | CR4.osfxsr | CR4.osxmmexcpt));
    s.setU64(CPU.efer, BigInt(EFER.sce | EFER.lme | EFER.lma | EFER.nxe));
    for (const n of [0, 2, 3]) s.setSegment(n, DATA_SEGMENT, 0n, 0xffff_ffff, 0xc0f3);
    s.setSegment(4, 0, BigInt(FS_BASE), 0, 0);
    s.setSegment(5, 0, BigInt(GS_BASE), 0, 0);
    s.setCpl(3);
    s.tlb.flush();
  }

  #runCase(test: TestCase): Outcome {
    const code = link(test, CODE);
    this.#restoreMemory();
    this.#code.set(code, test.offset);
    this.#codeBefore.set(code, test.offset);
    this.#codeWritten(test.offset, code.length);
    this.#load(test);
    this.#left = false;
    this.#vector = TIMED_OUT;
    this.#missing = undefined;
    this.#error = 0;
    this.#runToEnd();
    const changes = this.#changes();
    const outcome = this.#outcome(changes);
    this.#code.fill(0xcc, test.offset, test.offset + code.length);
    this.#codeBefore.fill(0xcc, test.offset, test.offset + code.length);
    this.#codeWritten(test.offset, code.length);
    for (const { address } of changes) {
      const offset = address - CODE;
      if (offset < 0 || offset >= this.#code.length) continue;
      this.#code.fill(0xcc, offset, offset + 8);
      this.#codeWritten(offset, 8);
    }
    return outcome;
  }

  /** Every other sequence is interrupted wherever the engine looks for interrupts: it must go on as if it was not. */
  #runToEnd(): void {
    const s = this.#state;
    const interrupted = this.#cases++ % 2 === 1;
    let budget = LIMIT;
    for (let runs = 0; runs < MOST_RUNS && !this.#left && budget > 0; runs++) {
      if (interrupted) this.#engine.run(1);
      else budget -= this.#engine.run(budget);
      s.setU32(CPU.attention, 0);
    }
  }

  /**
   * Half of the sequences of 32-bit code are run with all checks of segments: one byte less makes their code not flat
   * (modes.ts), and is at an address where nothing can be.
   */
  #codeLimit(): number {
    return this.#cases % WAYS < 2 ? 0xffff_ffff : 0xffff_fffe;
  }

  #codeWritten(offset: number, size: number): void {
    const inPage = Math.min(size, PAGE - (offset % PAGE));
    this.#engine.code.written(CODE_GPA + offset, inPage);
    if (inPage < size) this.#engine.code.written(CODE_GPA + offset + inPage, size - inPage);
  }

  #load(test: TestCase): void {
    const s = this.#state;
    const { bytes, view, block } = s;
    const { gpr, fxsave } = test.state;
    bytes.set(new Uint8Array(gpr.buffer, gpr.byteOffset, 128), block);
    bytes.set(fxsave.subarray(160, 416), block + CPU.xmm);
    const fx = new DataView(fxsave.buffer, fxsave.byteOffset, 512);
    const status = fx.getUint16(2, true);
    for (let i = 0; i < 8; i++) {
      const at = 32 + i * 16;
      bytes.set(fxsave.subarray(at, at + 16), block + CPU.x87 + (((status >> 11) + i) & 7) * 16);
    }
    view.setUint16(block + CPU.x87Control, fx.getUint16(0, true), true);
    view.setUint16(block + CPU.x87Status, status, true);
    view.setUint16(block + CPU.x87Tag, fx.getUint8(4), true);
    // The pointers to the last x87 instruction, that FXSAVE images have none of.
    bytes.fill(0, block + CPU.x87Opcode, block + CPU.x87Ds + 2);
    s.setU32(CPU.mxcsr, fx.getUint32(24, true));
    s.rflags = test.state.rflags;
    s.rip = BigInt(CODE + test.offset);
    s.setU32(CPU.fault, 0);
    if (test.codeSize === 8) s.setSegment(CS, CODE_SEGMENT_64, 0n, 0xffff_ffff, 0xa0fb);
    else s.setSegment(CS, CODE_SEGMENT_32, 0n, this.#codeLimit(), 0xc0fb);
    s.updateMode();
  }

  #outcome(changes: Change[]): Outcome {
    const s = this.#state;
    const gpr = new BigUint64Array(16);
    new Uint8Array(gpr.buffer).set(s.bytes.subarray(s.block, s.block + 128));
    return {
      vector: this.#vector,
      ...(this.#missing === undefined ? {} : { missing: this.#missing }),
      address: this.#vector === VECTOR.pf ? s.u64(CPU.faultAddress) : 0n,
      error: this.#error,
      rip: s.rip,
      rflags: s.rflags,
      gpr,
      fxsave: this.#fxsave(),
      changes,
    };
  }

  #fxsave(): Uint8Array {
    const { bytes, view, block } = this.#state;
    const out = new Uint8Array(512);
    const fx = new DataView(out.buffer);
    const status = view.getUint16(block + CPU.x87Status, true);
    fx.setUint16(0, view.getUint16(block + CPU.x87Control, true), true);
    fx.setUint16(2, status, true);
    fx.setUint8(4, view.getUint16(block + CPU.x87Tag, true));
    fx.setUint32(24, this.#state.u32(CPU.mxcsr), true);
    for (let i = 0; i < 8; i++) {
      const at = block + CPU.x87 + (((status >> 11) + i) & 7) * 16;
      out.set(bytes.subarray(at, at + 10), 32 + i * 16);
    }
    out.set(bytes.subarray(block + CPU.xmm, block + CPU.xmm + 256), 160);
    return out;
  }

  #changes(): Change[] {
    const changes: Change[] = [];
    compareBytes(this.#code, this.#codeBefore, CODE, changes);
    for (let n = 0; n < MEMORY_PAGES; n++) {
      const [from, to] = [n * PAGE, (n + 1) * PAGE];
      compareBytes(this.#memory.subarray(from, to), this.#memoryBefore.subarray(from, to), pageAddress(n), changes);
    }
    return changes;
  }

  #restoreMemory(): void {
    this.#memory.set(this.#memoryBefore);
  }
}

/** The words that differ. */
function compareBytes(now: Uint8Array, before: Uint8Array, address: number, changes: Change[]): void {
  if (Buffer.compare(now, before) === 0) return;
  const a = new DataView(now.buffer, now.byteOffset, now.byteLength);
  const b = new DataView(before.buffer, before.byteOffset, before.byteLength);
  for (let i = 0; i < now.length; i += 8) {
    const value = a.getBigUint64(i, true);
    if (value !== b.getBigUint64(i, true)) changes.push({ address: address + i, value });
  }
}

/** Four-level page tables in the first MiB: user pages as the harness maps them. */
function writeTables(memory: Uint8Array): void {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const entry = (table: number, index: number, value: bigint) => view.setBigUint64(table + index * 8, value, true);
  const [top, pointers, directory] = [TABLES, TABLES + PAGE, TABLES + 2 * PAGE];
  entry(top, 0, BigInt(pointers) | 7n);
  entry(pointers, 0, BigInt(directory) | 7n);
  let next = directory + PAGE;
  const tables = new Map<number, number>();
  const map = (va: number, gpa: number, bits: bigint) => {
    const index = va >>> 21;
    let table = tables.get(index);
    if (table === undefined) {
      tables.set(index, (table = next));
      entry(directory, index, BigInt(next) | 7n);
      next += PAGE;
    }
    entry(table, (va >>> 12) & 511, BigInt(gpa) | bits);
  };
  for (let n = 0; n < CODE_PAGES; n++) map(CODE + n * PAGE, CODE_GPA + n * PAGE, 7n);
  for (let n = 0; n < MEMORY_PAGES; n++) {
    map(pageAddress(n), MEMORY_GPA + n * PAGE, (n === READ_ONLY_PAGE ? 5n : 7n) | NO_EXECUTE);
  }
}
