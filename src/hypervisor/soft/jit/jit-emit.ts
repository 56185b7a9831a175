/** The semantics' view of the JIT: operands are constants, registers and flags are locals. */
import { RECORD, SCALE_SHIFT } from '../interpreter/record.ts';
import { TLB_ENTRY } from '../layout.ts';
import { LOCKED, type LockedKind } from '../mmu/locked.ts';
import { following, type Mmu, tlbEntry } from '../mmu/mmu.ts';
import { loadLow, loadSized, storeLow, storeSized } from '../mmu/sized.ts';
import type { Emit, HostCalls, Operand } from '../semantics/emit.ts';
import { type Size, signExtend, zeroExtend } from '../semantics/flags.ts';
import type { RareFunctions } from '../semantics/float-rare.ts';
import { CPU, MMX_FIRST, SLOT } from '../state.ts';
import { I32, type I32Like, I64, V128 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import { significantBits } from '../wasm/narrow.ts';
import type { JitFlags } from './jit-flags.ts';
import { JitFloatFacts } from './jit-float-facts.ts';
import type { Registers } from './registers.ts';

/** Functions that compiled regions call. */
export interface JitImports {
  readonly mmu: Mmu;
  readonly portRead: Callable;
  readonly portWrite: Callable;
  readonly timeStamp: Callable;
  readonly settleFlags: Callable;
  readonly rareFloat: RareFunctions;
}

/** How a micro-operation leaves its place in the region; the region compiler knows where to. */
export interface JitExits {
  /** The interpreter executes the record instead, from its start: nothing of it has been done. */
  interpret(record: number): void;
  /** Code was overwritten by the instruction, which is complete: the next one is looked up. */
  leaveBehind(): void;
  /** The direct branch in `record` is taken. */
  jump(record: number): void;
  /** Goes on at a linear address; the instructions are accounted for. */
  arrive(linear: I64): void;
}

export class JitEmit implements Emit {
  readonly f: FunctionBuilder;
  readonly cpu: I32;
  readonly flags: JitFlags;
  readonly host: HostCalls;
  readonly floats: JitFloatFacts;
  files = 'gg';
  /** Instructions left, as CPU.budget; SLOT.page is a register like others. */
  readonly budget: Local<'i32'>;
  /** Not 0 after a store that met decoded code: the region must be left behind this instruction. */
  readonly codeChanged: Local<'i32'>;
  /** Whether the instruction since resetInstruction() may have set codeChanged. */
  mayChangeCode = false;
  /** Whether the block has asked for attention, so that it must be looked at where the block ends. */
  asksAttention = false;
  readonly #tlb: Local<'i32'>;
  /** What loadForStore() loaded, in the WebAssembly memory; 0: the store back needs the MMU. */
  readonly #storeBack: Local<'i32'>;
  readonly #registers: Registers;
  readonly #imports: JitImports;
  readonly #exits: JitExits;
  readonly #view: DataView;
  readonly #is64: boolean;
  #rec = 0;
  /** Code that is emitted elsewhere than here is not always executed. */
  #place = 0;
  #endsInstruction = false;

  constructor(
    f: FunctionBuilder,
    cpu: I32,
    parts: {
      registers: Registers;
      flags: JitFlags;
      imports: JitImports;
      exits: JitExits;
      view: DataView;
      is64: boolean;
    },
  ) {
    this.f = f;
    this.cpu = cpu;
    this.floats = new JitFloatFacts(f, (operand) => this.#byte(RECORD[operand]));
    this.#registers = parts.registers;
    this.flags = parts.flags;
    this.#imports = parts.imports;
    this.#exits = parts.exits;
    this.#view = parts.view;
    this.#is64 = parts.is64;
    this.budget = f.lasting('i32');
    this.codeChanged = f.lasting('i32');
    this.#tlb = f.lasting('i32');
    this.#storeBack = f.lasting('i32');
    this.host = {
      portRead: (port, size) => f.run(parts.imports.portRead, cpu, port, I32.const(size)),
      portWrite: (port, size) => f.run(parts.imports.portWrite, cpu, port, I32.const(size)),
      timeStamp: () => {
        f.run(parts.imports.timeStamp, cpu);
        return f.load64(cpu, CPU.io);
      },
      flushNonGlobal: () => f.call(parts.imports.mmu.flushNonGlobal, 'i32', cpu),
      invalidatePage: (linear) => f.call(parts.imports.mmu.invalidatePage, 'i32', cpu, linear),
    };
  }

  /** What is in locals of its own is loaded: at the start of the function. */
  enter(): void {
    const { f, cpu } = this;
    f.set(this.budget, f.load32(cpu, CPU.budget));
    f.set(this.#tlb, f.load32(cpu, CPU.tlb));
    this.floats.enter();
  }

  /** The record whose semantics are emitted next. `endsInstruction`: nothing is left to do behind its store. */
  at(record: number, endsInstruction: boolean): void {
    this.#rec = record;
    this.#place = this.f.place;
    this.#endsInstruction = endsInstruction;
  }

  get(operand: Operand, size: Size): I64 {
    return this.getSlot(this.#byte(RECORD[operand]), size);
  }

  getSigned(operand: Operand, size: Size): I64 {
    const slot = this.#byte(RECORD[operand]);
    return signExtend(this.#shifted(slot), size);
  }

  set(operand: Operand, size: Size, value: I64): void {
    this.setSlot(this.#byte(RECORD[operand]), size, value);
  }

  getSlot(slot: number, size: Size): I64 {
    if (slot === SLOT.zero) return I64.const(0);
    return zeroExtend(this.#shifted(slot), size);
  }

  setSlot(slot: number, size: Size, value: I64): void {
    const { f } = this;
    const local = this.#registers.writtenSlot(slot);
    if (size >= 4) {
      const whole = zeroExtend(value, size);
      f.set(local, whole);
      this.#registers.noteWidth(slot, significantBits(whole), f.place === this.#place);
    } else {
      const mask = size === 1 ? 0xffn : 0xffffn;
      const shift = BigInt((slot & 7) * 8);
      const kept = local.and(I64.const(BigInt.asIntN(64, ~(mask << shift))));
      f.set(local, kept.or(value.and(I64.const(mask)).shl(I64.const(shift))));
    }
  }

  imm(): I64 {
    return I64.const(this.#int(RECORD.imm));
  }

  imm32(): I32 {
    return I32.const(this.#int(RECORD.imm));
  }

  knownImm(): number {
    return this.#int(RECORD.imm);
  }

  imm64(): I64 {
    return I64.const(this.#view.getBigInt64(this.#rec + RECORD.disp, true));
  }

  vector(operand: Operand): V128 {
    return this.vectorRegister(this.#byte(RECORD[operand]));
  }

  setVector(operand: Operand, value: V128): void {
    const { f, cpu } = this;
    const number = this.#byte(RECORD[operand]);
    if (number < MMX_FIRST) {
      this.setVectorRegister(number, value);
      return;
    }
    // An MMX register is the significand of an x87 register, whose sign and exponent become all ones.
    f.store64(cpu, CPU.xmm + 16 * number, value.extractI64(0));
    f.store16(cpu, CPU.xmm + 16 * number + 8, 0xffff);
  }

  vectorAddress(operand: Operand): I32 {
    const number = this.#byte(RECORD[operand]);
    return number < MMX_FIRST ? this.#registers.storedVector(number) : this.cpu.add(CPU.xmm + 16 * number);
  }

  vectorRegister(number: number): V128 {
    if (number < MMX_FIRST) return this.#registers.vector(number);
    return this.f.load128(this.cpu, CPU.xmm + 16 * number);
  }

  setVectorRegister(number: number, value: V128): void {
    this.floats.written(number, this.#registers.vectorNumberOf(value));
    this.f.set(this.#registers.writtenVector(number), value);
  }

  address(): I64 {
    const scale = this.#view.getUint16(this.#rec + RECORD.start, true) >>> SCALE_SHIFT;
    const [base, index] = [this.#byte(RECORD.base), this.#byte(RECORD.index)];
    const disp = this.#int(RECORD.disp);
    let sum: I64 | undefined;
    if (base !== SLOT.zero) sum = this.#registers.slot(base);
    if (index !== SLOT.zero) {
      const scaled = scale === 0 ? this.#registers.slot(index) : this.#registers.slot(index).shl(scale);
      sum = sum === undefined ? scaled : sum.add(scaled);
    }
    const linear = sum === undefined ? I64.const(disp) : sum.add(disp);
    return this.#is64 ? linear : linear.and(0xffff_ffff);
  }

  baseSlot(): I64 {
    return this.getSlot(this.#byte(RECORD.base), 8);
  }

  indexSlot(): I64 {
    return this.getSlot(this.#byte(RECORD.index), 8);
  }

  hostForRead(linear: I64): I32 {
    return this.#hostFor(linear, TLB_ENTRY.read);
  }

  hostForWrite(linear: I64): I32 {
    return this.#hostFor(linear, TLB_ENTRY.write);
  }

  load(linear: I64, size: Size): Local<'i64'> {
    const { f, cpu } = this;
    const value = f.local('i64');
    this.#access(linear, TLB_ENTRY.read, size, {
      fast: (host) => f.set(value, loadSized(f, host, size)),
      slow: (at) => {
        f.set(value, f.call(this.#imports.mmu.load[size], 'i64', cpu, at));
        this.#leaveOnFault();
      },
    });
    return value;
  }

  store(linear: I64, size: Size, value: I64): void {
    const { f, cpu } = this;
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: (host) => storeSized(f, host, size, value),
      slow: (at) => {
        f.run(this.#imports.mmu.store[size], cpu, at, value);
        this.#leaveOnFault();
        this.#noteCodeChange();
      },
    });
  }

  loadForStore(linear: I64, size: Size): Local<'i64'> {
    const { f, cpu } = this;
    const value = f.local('i64');
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: (host) => {
        f.set(this.#storeBack, host);
        f.set(value, loadSized(f, this.#storeBack, size));
      },
      slow: (at) => {
        f.set(this.#storeBack, I32.const(0));
        f.run(this.#imports.mmu.probeWrite, cpu, at, I32.const(size));
        this.#leaveOnFault();
        f.set(value, f.call(this.#imports.mmu.load[size], 'i64', cpu, at));
        this.#leaveOnFault();
      },
    });
    return value;
  }

  storeBack(linear: I64, size: Size, value: I64): void {
    const { f, cpu } = this;
    f.ifLikely(
      this.#storeBack,
      () => storeSized(f, this.#storeBack, size, value),
      () => {
        f.run(this.#imports.mmu.store[size], cpu, linear, value);
        this.#noteCodeChange();
      },
    );
  }

  lockedAccess(kind: LockedKind, linear: I64, size: Size, operand: I64, expected: I64): Local<'i64'> {
    const { f, cpu } = this;
    const locked = this.#imports.mmu.locked[size];
    const old = f.let(f.call(locked, 'i64', cpu, linear, I32.const(LOCKED[kind]), operand, expected)) as Local<'i64'>;
    this.#leaveOnFault();
    this.#noteCodeChange();
    return old;
  }

  loadLow(linear: I64, size: 4 | 8): Local<'v128'> {
    const { f, cpu } = this;
    const value = f.local('v128');
    this.#access(linear, TLB_ENTRY.read, size, {
      fast: (host) => f.set(value, loadLow(f, host, size)),
      slow: (at) => {
        f.set(value, V128.splatI64(0).replaceI64(0, f.call(this.#imports.mmu.load[size], 'i64', cpu, at)));
        this.#leaveOnFault();
      },
    });
    return value;
  }

  storeLow(linear: I64, size: 4 | 8, value: V128): void {
    const { f, cpu } = this;
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: (host) => storeLow(f, host, size, value),
      slow: (at) => {
        f.run(this.#imports.mmu.store[size], cpu, at, value.extractI64(0));
        this.#leaveOnFault();
        this.#noteCodeChange();
      },
    });
  }

  load128(linear: I64): Local<'v128'> {
    const { f, cpu } = this;
    const value = f.local('v128');
    this.#access(linear, TLB_ENTRY.read, 16, {
      fast: (host) => f.set(value, f.load128(host)),
      slow: (at) => {
        const low = f.let(f.call(this.#imports.mmu.load[8], 'i64', cpu, at));
        this.#leaveOnFault();
        const high = f.let(f.call(this.#imports.mmu.load[8], 'i64', cpu, following(f, cpu, at, 8)));
        this.#leaveOnFault();
        f.set(value, V128.splatI64(low).replaceI64(1, high));
      },
    });
    return value;
  }

  store128(linear: I64, value: V128): void {
    const { f, cpu } = this;
    this.#access(linear, TLB_ENTRY.write, 16, {
      fast: (host) => f.store128(host, 0, value),
      slow: (at) => {
        f.run(this.#imports.mmu.probeWrite, cpu, at, I32.const(16));
        this.#leaveOnFault();
        const whole = f.let(value);
        f.run(this.#imports.mmu.store[8], cpu, at, whole.extractI64(0));
        f.run(this.#imports.mmu.store[8], cpu, following(f, cpu, at, 8), whole.extractI64(1));
        this.#leaveOnFault();
        this.#noteCodeChange();
      },
    });
  }

  probeWrite(linear: I64, size: number): void {
    const { f, cpu } = this;
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: () => {},
      slow: (at) => {
        f.run(this.#imports.mmu.probeWrite, cpu, at, I32.const(size));
        this.#leaveOnFault();
      },
    });
  }

  jump(): void {
    this.#exits.jump(this.#rec);
  }

  jumpTo(linear: I64): void {
    this.account();
    this.#exits.arrive(linear);
  }

  account(): void {
    this.charge(this.#view.getUint16(this.#rec + RECORD.count, true));
  }

  charge(instructions: number): void {
    this.f.set(this.budget, this.budget.sub(instructions));
  }

  repeatLater(): void {
    this.charge(this.#byte(RECORD.a) + 256);
    this.#exits.arrive(this.addressInPage(this.#view.getUint16(this.#rec + RECORD.start, true) & 0xfff));
  }

  lookUpAgain(): void {
    this.#exits.interpret(this.#rec);
  }

  returnAddress(): I64 {
    return this.addressInPage(this.#view.getUint16(this.#rec + RECORD.next, true));
  }

  /** Linear address of an offset from the start of the code page. */
  addressInPage(offset: number): I64 {
    return this.#registers.slot(SLOT.page).add(offset);
  }

  requestAttention(): void {
    this.asksAttention = true;
    this.f.store32(this.cpu, CPU.attention, -0x8000_0000);
  }

  raise(_vector: number): void {
    this.#exits.interpret(this.#rec);
  }

  exact(_op: number): void {
    this.#exits.interpret(this.#rec);
  }

  exactInstead(op: number): void {
    this.exact(op);
  }

  rareFloat(bytes: 4 | 8, kind: I32Like, active: number, x: V128, y: V128): I32 {
    return this.f.call(this.#imports.rareFloat[bytes], 'i32', this.cpu, I32.of(kind), I32.const(active), x, y);
  }

  callout(): void {
    this.#exits.interpret(this.#rec);
  }

  calloutAtEnd(): void {
    this.#exits.interpret(this.#rec);
  }

  /** Emits `fast` for an access that the TLB has, with the WebAssembly address, and `slow` with the linear one. */
  #access(
    linear: I64,
    tag: number,
    size: number,
    ways: { fast: (host: I32) => void; slow: (at: Local<'i64'>) => void },
  ): void {
    const { f } = this;
    const at = f.let(linear) as Local<'i64'>;
    const entry = f.let(tlbEntry(at, this.#tlb));
    f.ifLikely(
      at.xor(f.load64(entry, tag)).ltU(4097 - size),
      () => ways.fast(at.wrap().add(f.load32(entry, TLB_ENTRY.host))),
      () => ways.slow(at),
    );
  }

  #hostFor(linear: I64, tag: number): I32 {
    const { f } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, this.#tlb));
    const hit = at.xor(f.load64(entry, tag)).ltU(4096);
    return hit.mul(at.wrap().add(f.load32(entry, TLB_ENTRY.host)));
  }

  #leaveOnFault(): void {
    this.f.ifRare(this.f.load32(this.cpu, CPU.fault), () => this.#exits.interpret(this.#rec));
  }

  /** Behind a store by the MMU. Where nothing of the instruction is left to do, the region is left right here. */
  #noteCodeChange(): void {
    const { f } = this;
    const changed = f.load32(this.cpu, CPU.codeChanged);
    if (this.#endsInstruction) {
      f.ifRare(changed, () => this.#exits.leaveBehind());
    } else {
      this.mayChangeCode = true;
      f.set(this.codeChanged, changed);
    }
  }

  #shifted(slot: number): I64 {
    return this.#registers.slot(slot).shrU((slot & 7) * 8);
  }

  #byte(field: number): number {
    return this.#view.getUint8(this.#rec + field);
  }

  #int(field: number): number {
    return this.#view.getInt32(this.#rec + field, true);
  }
}
