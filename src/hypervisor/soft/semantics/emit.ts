/**
 * What the semantics of a micro-operation is written against. The interpreter and the JIT each implement it: in the
 * interpreter an operand is a field of the record that is being executed, in the JIT it is a constant.
 *
 * A micro-operation works on slots (state.ts) and vector registers only. Memory operands are loaded to a temporary
 * before and stored from one after, by micro-operations of their own; so the semantics of ADD knows nothing of memory.
 */
import type { I32, I64, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';
import type { Flags, Size } from './flags.ts';

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

  /** The immediate, sign-extended to 64 bits. */
  imm(): I64;
  imm32(): I32;

  /** Vector operands, whole. MMX operands come as the low half of a vector whose high half is anything. */
  vector(operand: Operand): V128;
  /** For an XMM operand sets all 16 bytes, for an MMX operand the low 8. */
  setVector(operand: Operand, value: V128): void;
  /** Where an operand's vector lies in memory: for loads and stores of single lanes. */
  vectorAddress(operand: Operand): I32;

  /** A fault of the instruction that is being executed: leaves it. Nothing may have been changed before. */
  raise(vector: number, errorCode?: I32): void;
  /**
   * Hands the whole operation to TypeScript (see Exact in fpu/exact.ts), with the operands as they are. Emits the call
   * and leaves the instruction if that raised a fault.
   */
  exact(op: number): void;
}

/** One micro-operation's semantics. */
export type Semantics = (e: Emit) => void;
