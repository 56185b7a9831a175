/** The semantics' view of the JIT: operands are constants, registers and flags are locals. */
import { type HostImports, hostCalls } from '../interpreter/imports.ts';
import { RECORD, SCALE_SHIFT } from '../interpreter/record.ts';
import { AccessEmit } from '../mmu/access-emit.ts';
import type { Mmu } from '../mmu/mmu.ts';
import type { Emit, HostCalls, Operand } from '../semantics/emit.ts';
import { type Size, signExtend, zeroExtend } from '../semantics/flags.ts';
import type { RareFunctions } from '../semantics/float-rare.ts';
import { CPU, MMX_FIRST, SLOT } from '../state.ts';
import { I32, type I32Like, I64, type V128 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { JitFlags } from './jit-flags.ts';
import { JitFloatFacts } from './jit-float-facts.ts';
import type { Registers } from './registers.ts';

/** Functions that compiled regions call. */
export interface JitImports extends HostImports {
  readonly mmu: Mmu;
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
  /** Goes on at a linear address; the instructions are accounted for. It is likely the same one as the last time. */
  goTo(linear: I64): void;
  /** The same where the last call that was noted, and not yet come back from, has its return address. */
  goBack(linear: I64): void;
  /** A call whose return address is at `behind` in the page. */
  noteCall(behind: number): void;
  /** Goes on at a linear address that is looked up, behind a look at what else there is to do. */
  arrive(linear: I64): void;
}

export class JitEmit extends AccessEmit implements Emit {
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
    super(f, cpu, parts.imports.mmu);
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
    this.host = hostCalls(f, cpu, parts.imports, parts.imports.mmu);
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
    const always = this.f.place === this.#place;
    if (size >= 4) this.#registers.setSlot(slot, zeroExtend(value, size), always);
    else {
      const mask = size === 1 ? 0xffn : 0xffffn;
      const shift = BigInt((slot & 7) * 8);
      const kept = this.#registers.slot(slot).and(I64.const(BigInt.asIntN(64, ~(mask << shift))));
      this.#registers.setSlot(slot, kept.or(value.and(I64.const(mask)).shl(I64.const(shift))), always);
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

  jump(): void {
    this.#exits.jump(this.#rec);
  }

  jumpTo(linear: I64): void {
    this.account();
    this.#exits.goTo(linear);
  }

  returnTo(linear: I64): void {
    this.account();
    this.#exits.goBack(linear);
  }

  noteCall(): void {
    this.#exits.noteCall(this.#view.getUint16(this.#rec + RECORD.next, true));
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

  protected override tlb(): I32 {
    return this.#tlb;
  }

  protected override keepForStore(host: I32): I32 {
    this.f.set(this.#storeBack, host);
    return this.#storeBack;
  }

  protected override keptForStore(): I32 {
    return this.#storeBack;
  }

  protected override leaveForFault(): void {
    this.#exits.interpret(this.#rec);
  }

  /** Where nothing of the instruction is left to do, the region is left right here. */
  protected override storedByMmu(): void {
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
