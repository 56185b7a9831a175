/**
 * What the semantics of a micro-operation is written against. The interpreter and the JIT each implement it: in the
 * interpreter an operand is a field of the record that is being executed, in the JIT it is a constant.
 *
 * A micro-operation works on slots (state.ts) and vector registers only. Memory operands are loaded to a temporary
 * before and stored from one after, by micro-operations of their own; so the semantics of ADD knows nothing of memory.
 *
 * The JIT keeps slots, vector registers and flags in locals, so they are reached through Emit only. What it knows of the
 * flags at compile time it forgets at the end of the block in which they were written: flags that an operation writes on
 * some paths only, or in a loop, it may read in the same or an inner block, and not before at the head of that loop.
 */
import type { LockedKind } from '../mmu/locked.ts';
import type { I32, I32Like, I64, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { Flags, Size } from './flags.ts';
import type { FloatFacts } from './float-facts.ts';

export type Operand = 'a' | 'b';

export interface Emit {
  readonly f: FunctionBuilder;
  /** Address of the vCPU's block. */
  readonly cpu: I32;
  readonly flags: Flags;

  /** A general operand, zero-extended. */
  get(operand: Operand, size: Size): I64;
  /** A general operand, sign-extended. */
  getSigned(operand: Operand, size: Size): I64;
  /** Writes a general operand: 4 bytes clear the upper half of the register, 1 and 2 leave the rest of it. */
  set(operand: Operand, size: Size, value: I64): void;
  /** The same for a slot that the operation implies (state.ts). */
  getSlot(slot: number, size: Size): I64;
  setSlot(slot: number, size: Size, value: I64): void;

  /** The immediate, sign-extended to 64 bits. */
  imm(): I64;
  imm32(): I32;
  /** Its value, where that is known when the code is made: in the JIT. */
  knownImm(): number | undefined;
  /** The 64-bit immediate of the few that have one; they have no displacement. */
  imm64(): I64;

  /** Register files of a and b (VectorForm.files) while a vector instruction is emitted. */
  files: string;
  /** Vector operands, whole. MMX operands come as the low half of a vector whose high half is anything. */
  vector(operand: Operand): V128;
  /** For an XMM operand sets all 16 bytes, for an MMX operand the low 8. */
  setVector(operand: Operand, value: V128): void;
  /** Where an operand's vector lies in memory: for loads of single lanes by number. */
  vectorAddress(operand: Operand): I32;
  /** The same for an XMM register or temporary (state.ts) that the operation implies. */
  vectorRegister(number: number): V128;
  setVectorRegister(number: number, value: V128): void;

  /** base + (index << scale) + disp: 64 bits in 64-bit code, else cut to 32. */
  address(): I64;
  /** The slots that the record's base and index fields name, for what uses them otherwise. */
  baseSlot(): I64;
  indexSlot(): I64;
  /** WebAssembly address of a byte of RAM that the TLB has for reading or writing; 0 if it has not. */
  hostForRead(linear: I64): I32;
  hostForWrite(linear: I64): I32;
  /** A load from guest memory; a fault leaves the instruction. */
  load(linear: I64, size: Size): Local<'i64'>;
  /** A store to guest memory; a fault leaves the instruction. */
  store(linear: I64, size: Size, value: I64): void;
  /**
   * A load from where the same instruction will store; leaves it with the fault that the store would meet. Then the
   * store there, which cannot fault.
   */
  loadForStore(linear: I64, size: Size): Local<'i64'>;
  storeBack(linear: I64, size: Size, value: I64): void;
  /** A load of 4 or 8 bytes to the low end of a vector with zeros above, and a store of as many from there. */
  loadLow(linear: I64, size: 4 | 8): Local<'v128'>;
  storeLow(linear: I64, size: 4 | 8, value: V128): void;
  /** A load or store of 16 bytes: nothing is stored if any of them faults. */
  load128(linear: I64): Local<'v128'>;
  store128(linear: I64, value: V128): void;
  /**
   * A locked read-modify-write access to guest memory of any kind and alignment; gives what was there, zero-extended. A
   * fault leaves the instruction. For those that hostForWrite cannot serve: semantics/locked.ts.
   */
  lockedAccess(kind: LockedKind, linear: I64, size: Size, operand: I64, expected: I64): Local<'i64'>;
  /** Leaves the instruction with the fault of a store to [linear, linear + size), if that would fault. */
  probeWrite(linear: I64, size: number): void;

  /** Ends the block: goes on at the direct target of the record, or at a computed linear address. */
  jump(): void;
  jumpTo(linear: I64): void;
  /** jumpTo for a near return. */
  returnTo(linear: I64): void;
  /** A near call is about to jump: a return will come back behind it. */
  noteCall(): void;
  /** Counts the block's instructions as executed; jump and jumpTo do it themselves. */
  account(): void;
  /** Uses up as much of the budget as so many instructions would. */
  charge(instructions: number): void;
  /**
   * Ends the block before this instruction has finished: it is executed again, after a look at interrupts. That is
   * charged like 256 instructions; operand a is the number of instructions before this one in its block.
   */
  repeatLater(): void;
  /** The code was overwritten: goes on with what stands at this instruction's address now. */
  lookUpAgain(): void;
  /** Linear address of the next instruction, for a call. */
  returnAddress(): I64;
  /** Makes the vCPU look up at the next block end. */
  requestAttention(): void;

  /** A fault of the instruction that is being executed: leaves it. Nothing may have been changed before. */
  raise(vector: number, errorCode?: I32): void;
  /**
   * Hands the whole operation to TypeScript (fpu/), with the operands as they are. Emits the call and leaves the
   * instruction if that raised a fault. `op` is a semantic operation (OP in decode/opcodes.ts).
   */
  exact(op: number): void;
  /** The same, and nothing behind it is executed: the micro-operation ends. */
  exactInstead(op: number): void;
  /**
   * Calls the rare function for elements of so many bytes (float-rare.ts), with a kind of RARE and a bit for each lane
   * that counts. Gives 0 if it has done it, otherwise exactInstead() has to.
   */
  rareFloat(bytes: 4 | 8, kind: I32Like, active: number, x: V128, y: V128): I32;
  readonly floats: FloatFacts;
  /** Like exact(), for what the whole instruction is needed: TypeScript decodes it again (system/). May end the block. */
  callout(): void;
  /** The same in the last record of a block, whose instructions are counted as executed. */
  calloutAtEnd(): void;
  /** Calls a function that TypeScript gives the core module. */
  readonly host: HostCalls;
}

/** Calls into TypeScript and the core module that semantics make directly. */
export interface HostCalls {
  /** (cpu, port, size): a port read into CPU.io / write from it. */
  portRead(port: I32, size: Size): void;
  portWrite(port: I32, size: Size): void;
  /** Time stamp counter. */
  timeStamp(): I64;
  /** Forgets translations, of CR3 and of a page (mmu/flush.ts): 0 if that is left to TypeScript, which has to flush all. */
  flushNonGlobal(): I32;
  invalidatePage(linear: I64): I32;
}

/** One micro-operation's semantics. */
export type Semantics = (e: Emit) => void;

export const SIZES: readonly Size[] = [1, 2, 4, 8];

/**
 * The micro-operations, by name. Hot ones are put into the interpreter's loop, the others are called from it; a JIT
 * treats them alike.
 */
export class MicroOps {
  readonly all = new Map<string, { readonly emit: Semantics; readonly hot: boolean }>();

  hot(name: string, emit: Semantics): void {
    this.#add(name, emit, true);
  }

  cold(name: string, emit: Semantics): void {
    this.#add(name, emit, false);
  }

  #add(name: string, emit: Semantics, hot: boolean): void {
    if (this.all.has(name)) throw new Error(`micro-operation ${name} is defined twice`);
    this.all.set(name, { emit, hot });
  }
}
