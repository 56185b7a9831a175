/** The semantics' view of the interpreter: operands are fields of the record, registers live in memory. */

import { AccessEmit } from '../mmu/access-emit.ts';
import type { Mmu } from '../mmu/mmu.ts';
import { loadSized, storeSized } from '../mmu/sized.ts';
import type { Emit, HostCalls, Operand } from '../semantics/emit.ts';
import { Flags, type Size } from '../semantics/flags.ts';
import { NO_FACTS } from '../semantics/float-facts.ts';
import { RARE_STATUS, type RareFunctions } from '../semantics/float-rare.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, type I32Like, type I64, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Label, Local } from '../wasm/function-builder.ts';
import { type CoreImports, hostCalls } from './imports.ts';
import { RECORD, RECORD_SIZE, SCALE_SHIFT } from './record.ts';

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

export class InterpreterEmit extends AccessEmit implements Emit {
  readonly flags: Flags;
  readonly host: HostCalls;
  readonly floats = NO_FACTS;
  files = 'gg';
  readonly #rec: Local<'i32'>;
  readonly #imports: CoreImports;
  readonly #rare: RareFunctions;
  readonly #exits: Exits;

  constructor(f: FunctionBuilder, cpu: Local<'i32'>, rec: Local<'i32'>, parts: InterpreterParts, exits: Exits) {
    super(f, cpu, parts.mmu);
    this.#rec = rec;
    this.#imports = parts.imports;
    this.#rare = parts.rareFloat;
    this.#exits = exits;
    this.flags = new Flags(f, cpu);
    this.host = hostCalls(f, cpu, parts.imports, parts.mmu);
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

  jump(): void {
    this.#exits.jump();
  }

  jumpTo(linear: I64): void {
    this.account();
    this.#exits.arrive(linear);
  }

  returnTo(linear: I64): void {
    this.jumpTo(linear);
  }

  /** Only compiled code remembers where returns will go. */
  noteCall(): void {}

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
    this.leaveOnFault();
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

  protected override tlb(): I32 {
    return this.f.load32(this.cpu, CPU.tlb);
  }

  protected override keepForStore(host: I32): I32 {
    const kept = this.f.let(host);
    this.f.store32(this.cpu, CPU.storeBack, kept);
    return kept;
  }

  protected override keptForStore(): I32 {
    return this.f.let(this.f.load32(this.cpu, CPU.storeBack));
  }

  protected override leaveForFault(): void {
    this.#exits.fault();
  }

  /** The overwritten records themselves lead on. */
  protected override storedByMmu(): void {}
}

/** Labels of the interpreter loop that inline handlers leave to. */
export interface LoopLabels {
  readonly next: Label;
  readonly fault: Label;
  readonly jump: Label;
  readonly arrive: Label;
}
