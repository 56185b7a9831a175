/** The semantics' view of the interpreter: operands are fields of the record, registers live in memory. */

import { TLB_ENTRY } from '../layout.ts';
import { LOCKED, type LockedKind } from '../mmu/locked.ts';
import { following, type Mmu, tlbEntry } from '../mmu/mmu.ts';
import { loadSized, storeSized } from '../mmu/sized.ts';
import type { Emit, HostCalls, Operand } from '../semantics/emit.ts';
import { Flags, type Size } from '../semantics/flags.ts';
import { NO_FACTS } from '../semantics/float-facts.ts';
import { RARE_STATUS, type RareFunctions } from '../semantics/float-rare.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, type I32Like, type I64, V128 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Label, Local } from '../wasm/function-builder.ts';
import { RECORD, RECORD_SIZE, SCALE_SHIFT } from './record.ts';

/** Functions of TypeScript that the core module imports. */
export interface CoreImports {
  /** (cpu, record): delivers CPU.fault to the guest. Gives 0, or -1 if the loop must be left. */
  readonly deliverFault: Callable;
  /** (cpu, record): executes the instruction. Gives 1 to go on behind it, 0 to go on at CPU.rip, -1 to leave. */
  readonly callout: Callable;
  /** (cpu, op, a, b, imm): see Emit.exact. Sets CPU.fault on failure. */
  readonly exact: Callable;
  /** (cpu): the record for CPU.rip; 0 if a fault was delivered instead; -1 to leave the loop. */
  readonly lookup: Callable;
  /** (cpu, record): as lookup, for the instruction of a record whose code was overwritten. */
  readonly lookUpAgain: Callable;
  /** (cpu, record): the target's record of a direct branch that is UNRESOLVED, or as lookup. CPU.rip is set. */
  readonly link: Callable;
  /** (cpu, header): the block's header has counted down. Gives the record to go on with. */
  readonly hot: Callable;
  readonly portRead: Callable;
  readonly portWrite: Callable;
  readonly timeStamp: Callable;
}

/** How a handler is left. Inline in the loop these are branches, in a function they are returns. */
export interface Exits {
  /** On to `record`. */
  next(record: I32): void;
  fault(): void;
  /** A direct branch is taken; the count is not yet accounted for. */
  jump(): void;
  /** To a linear address; the count is accounted for. */
  arrive(linear: I64): void;
  /** With a status as callout has it. */
  status(status: I32): void;
}

/** Functions that handlers call. */
export interface InterpreterParts {
  readonly mmu: Mmu;
  readonly imports: CoreImports;
  readonly rareFloat: RareFunctions;
}

export class InterpreterEmit implements Emit {
  readonly f: FunctionBuilder;
  readonly cpu: Local<'i32'>;
  readonly flags: Flags;
  readonly host: HostCalls;
  readonly floats = NO_FACTS;
  files = 'gg';
  readonly #rec: Local<'i32'>;
  readonly #mmu: Mmu;
  readonly #imports: CoreImports;
  readonly #rare: RareFunctions;
  readonly #exits: Exits;

  constructor(f: FunctionBuilder, cpu: Local<'i32'>, rec: Local<'i32'>, parts: InterpreterParts, exits: Exits) {
    const { mmu, imports } = parts;
    this.f = f;
    this.cpu = cpu;
    this.#rec = rec;
    this.#mmu = mmu;
    this.#imports = imports;
    this.#rare = parts.rareFloat;
    this.#exits = exits;
    this.flags = new Flags(f, cpu);
    this.host = {
      portRead: (port, size) => f.run(imports.portRead, cpu, port, I32.const(size)),
      portWrite: (port, size) => f.run(imports.portWrite, cpu, port, I32.const(size)),
      timeStamp: () => {
        f.run(imports.timeStamp, cpu);
        return f.load64(cpu, CPU.io);
      },
      flushNonGlobal: () => f.call(mmu.flushNonGlobal, 'i32', cpu),
      invalidatePage: (linear) => f.call(mmu.invalidatePage, 'i32', cpu, linear),
    };
  }

  get(operand: Operand, size: Size): I64 {
    return loadSized(this.f, this.#slot(operand), size);
  }

  getSigned(operand: Operand, size: Size): I64 {
    const at = this.#slot(operand);
    if (size === 1) return this.f.load8s64(at);
    if (size === 2) return this.f.load16s64(at);
    return size === 4 ? this.f.load32s64(at) : this.f.load64(at);
  }

  set(operand: Operand, size: Size, value: I64): void {
    this.#setAt(this.#slot(operand), size, value);
  }

  getSlot(slot: number, size: Size): I64 {
    return loadSized(this.f, this.cpu, size, slot);
  }

  setSlot(slot: number, size: Size, value: I64): void {
    this.#setAt(this.cpu, size, value, slot);
  }

  imm(): I64 {
    return this.f.load32s64(this.#rec, RECORD.imm);
  }

  imm32(): I32 {
    return this.f.load32(this.#rec, RECORD.imm);
  }

  knownImm(): undefined {
    return undefined;
  }

  imm64(): I64 {
    return this.f.load64(this.#rec, RECORD.disp);
  }

  vector(operand: Operand): V128 {
    return this.f.load128(this.vectorAddress(operand));
  }

  setVector(operand: Operand, value: V128): void {
    const { f } = this;
    if (this.files[operand === 'a' ? 0 : 1] !== 'm') {
      f.store128(this.vectorAddress(operand), 0, value);
      return;
    }
    // An MMX register is the significand of an x87 register, whose sign and exponent become all ones.
    const at = f.let(this.vectorAddress(operand));
    f.store64(at, 0, value.extractI64(0));
    f.store16(at, 8, 0xffff);
  }

  vectorAddress(operand: Operand): I32 {
    return this.cpu.add(this.f.load8u(this.#rec, RECORD[operand]).shl(4)).add(CPU.xmm);
  }

  vectorRegister(number: number): V128 {
    return this.f.load128(this.cpu, CPU.xmm + 16 * number);
  }

  setVectorRegister(number: number, value: V128): void {
    this.f.store128(this.cpu, CPU.xmm + 16 * number, value);
  }

  address(): I64 {
    const { f } = this;
    const scale = f.load16u(this.#rec, RECORD.start).shrU(SCALE_SHIFT).toI64();
    const sum = this.baseSlot().add(this.indexSlot().shl(scale)).add(f.load32s64(this.#rec, RECORD.disp));
    return sum.and(f.load64(this.cpu, CPU.ripMask));
  }

  baseSlot(): I64 {
    return this.f.load64(this.cpu.add(this.f.load8u(this.#rec, RECORD.base)));
  }

  indexSlot(): I64 {
    return this.f.load64(this.cpu.add(this.f.load8u(this.#rec, RECORD.index)));
  }

  hostForRead(linear: I64): I32 {
    return this.#hostFor(linear, TLB_ENTRY.read);
  }

  hostForWrite(linear: I64): I32 {
    return this.#hostFor(linear, TLB_ENTRY.write);
  }

  load(linear: I64, size: Size): Local<'i64'> {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    const value = f.local('i64');
    f.if(
      at.xor(f.load64(entry, TLB_ENTRY.read)).ltU(4097 - size),
      () => f.set(value, loadSized(f, at.wrap().add(f.load32(entry, TLB_ENTRY.host)), size)),
      () => {
        f.set(value, f.call(this.#mmu.load[size], 'i64', cpu, at));
        this.#leaveOnFault();
      },
    );
    return value;
  }

  store(linear: I64, size: Size, value: I64): void {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    f.if(
      at.xor(f.load64(entry, TLB_ENTRY.write)).ltU(4097 - size),
      () => storeSized(f, at.wrap().add(f.load32(entry, TLB_ENTRY.host)), size, value),
      () => {
        f.run(this.#mmu.store[size], cpu, at, value);
        this.#leaveOnFault();
      },
    );
  }

  loadForStore(linear: I64, size: Size): Local<'i64'> {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    const value = f.local('i64');
    f.if(
      at.xor(f.load64(entry, TLB_ENTRY.write)).ltU(4097 - size),
      () => {
        const host = f.let(at.wrap().add(f.load32(entry, TLB_ENTRY.host)));
        f.store32(cpu, CPU.storeBack, host);
        f.set(value, loadSized(f, host, size));
      },
      () => {
        f.store32(cpu, CPU.storeBack, 0);
        f.run(this.#mmu.probeWrite, cpu, at, I32.const(size));
        this.#leaveOnFault();
        f.set(value, f.call(this.#mmu.load[size], 'i64', cpu, at));
        this.#leaveOnFault();
      },
    );
    return value;
  }

  storeBack(linear: I64, size: Size, value: I64): void {
    const { f, cpu } = this;
    const host = f.let(f.load32(cpu, CPU.storeBack));
    f.if(
      host,
      () => storeSized(f, host, size, value),
      () => f.run(this.#mmu.store[size], cpu, linear, value),
    );
  }

  loadLow(linear: I64, size: 4 | 8): Local<'v128'> {
    return this.f.let(V128.splatI64(0).replaceI64(0, this.load(linear, size))) as Local<'v128'>;
  }

  storeLow(linear: I64, size: 4 | 8, value: V128): void {
    this.store(linear, size, value.extractI64(0));
  }

  load128(linear: I64): Local<'v128'> {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    const value = f.local('v128');
    f.if(
      at.xor(f.load64(entry, TLB_ENTRY.read)).ltU(4097 - 16),
      () => f.set(value, f.load128(at.wrap().add(f.load32(entry, TLB_ENTRY.host)))),
      () => {
        const low = f.let(f.call(this.#mmu.load[8], 'i64', cpu, at));
        this.#leaveOnFault();
        const high = f.let(f.call(this.#mmu.load[8], 'i64', cpu, following(f, cpu, at, 8)));
        this.#leaveOnFault();
        f.set(value, V128.splatI64(low).replaceI64(1, high));
      },
    );
    return value;
  }

  store128(linear: I64, value: V128): void {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    f.if(
      at.xor(f.load64(entry, TLB_ENTRY.write)).ltU(4097 - 16),
      () => f.store128(at.wrap().add(f.load32(entry, TLB_ENTRY.host)), 0, value),
      () => {
        f.run(this.#mmu.probeWrite, cpu, at, I32.const(16));
        this.#leaveOnFault();
        const whole = f.let(value);
        f.run(this.#mmu.store[8], cpu, at, whole.extractI64(0));
        f.run(this.#mmu.store[8], cpu, following(f, cpu, at, 8), whole.extractI64(1));
        this.#leaveOnFault();
      },
    );
  }

  probeWrite(linear: I64, size: number): void {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    f.if(at.xor(f.load64(entry, TLB_ENTRY.write)).geU(4097 - size), () => {
      f.run(this.#mmu.probeWrite, cpu, at, I32.const(size));
      this.#leaveOnFault();
    });
  }

  lockedAccess(kind: LockedKind, linear: I64, size: Size, operand: I64, expected: I64): Local<'i64'> {
    const { f, cpu } = this;
    const old = f.let(f.call(this.#mmu.locked[size], 'i64', cpu, linear, I32.const(LOCKED[kind]), operand, expected));
    this.#leaveOnFault();
    return old;
  }

  jump(): void {
    this.#exits.jump();
  }

  jumpTo(linear: I64): void {
    this.account();
    this.#exits.arrive(linear);
  }

  repeatLater(): void {
    const { f, cpu } = this;
    const before = f.load8u(this.#rec, RECORD.a);
    f.store32(cpu, CPU.budget, f.load32(cpu, CPU.budget).sub(before).sub(256));
    this.#exits.arrive(this.#startAddress());
  }

  lookUpAgain(): void {
    const { f, cpu } = this;
    const record = f.let(f.call(this.#imports.lookUpAgain, 'i32', cpu, this.#rec));
    f.if(record.gtS(0), () => this.#exits.next(record));
    this.#exits.status(record);
  }

  returnAddress(): I64 {
    return this.f.load64(this.cpu, SLOT.page).add(this.f.load16u64(this.#rec, RECORD.next));
  }

  requestAttention(): void {
    this.f.store32(this.cpu, CPU.attention, -0x8000_0000);
  }

  raise(vector: number, errorCode: I32 = I32.const(0)): void {
    this.f.store32(this.cpu, CPU.fault, vector + 1);
    this.f.store32(this.cpu, CPU.faultError, errorCode);
    this.#exits.fault();
  }

  exact(op: number): void {
    const { f } = this;
    const [a, b] = [f.load8u(this.#rec, RECORD.a), f.load8u(this.#rec, RECORD.b)];
    f.run(this.#imports.exact, this.cpu, I32.const(op), a, b, this.imm32());
    this.#leaveOnFault();
  }

  exactInstead(op: number): void {
    this.exact(op);
    this.#exits.next(this.#rec.add(RECORD_SIZE));
  }

  rareFloat(bytes: 4 | 8, kind: I32Like, active: number, x: V128, y: V128): I32 {
    const rare = this.#rare[bytes];
    return this.f.call(rare, 'i32', this.cpu, I32.of(kind), I32.const(active), x, y).and(RARE_STATUS.left);
  }

  callout(): void {
    const { f } = this;
    const status = f.let(f.call(this.#imports.callout, 'i32', this.cpu, this.#rec));
    f.if(status.eq(1), () => this.#exits.next(this.#rec.add(RECORD_SIZE)));
    this.#exits.status(status);
  }

  calloutAtEnd(): void {
    this.account();
    this.callout();
  }

  /** The block ends here: its instructions have been executed. */
  account(): void {
    const { f, cpu } = this;
    f.store32(cpu, CPU.budget, f.load32(cpu, CPU.budget).sub(f.load16u(this.#rec, RECORD.count)));
  }

  charge(instructions: number): void {
    this.f.store32(this.cpu, CPU.budget, this.f.load32(this.cpu, CPU.budget).sub(instructions));
  }

  /** Linear address of the instruction. */
  #startAddress(): I64 {
    const start = this.f.load16u(this.#rec, RECORD.start).and(0xfff).toI64();
    return this.f.load64(this.cpu, SLOT.page).add(start);
  }

  #slot(operand: Operand): I32 {
    return this.cpu.add(this.f.load8u(this.#rec, RECORD[operand]));
  }

  #setAt(at: I32, size: Size, value: I64, offset = 0): void {
    const { f } = this;
    if (size === 4) f.store64(at, offset, value.and(0xffff_ffff));
    else storeSized(f, at, size, value, offset);
  }

  #hostFor(linear: I64, tag: number): I32 {
    const { f, cpu } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, f.load32(cpu, CPU.tlb)));
    const hit = at.xor(f.load64(entry, tag)).ltU(4096);
    return hit.mul(at.wrap().add(f.load32(entry, TLB_ENTRY.host)));
  }

  #leaveOnFault(): void {
    this.f.if(this.f.load32(this.cpu, CPU.fault), () => this.#exits.fault());
  }
}

/** Labels of the interpreter loop that inline handlers leave to. */
export interface LoopLabels {
  readonly next: Label;
  readonly fault: Label;
  readonly jump: Label;
  readonly arrive: Label;
}
