/**
 * The x87 floating-point unit: every instruction of it, exact, on the registers in a vCPU's block (state.ts).
 *
 * It is not made for speed: kernels and today's programs hardly use it. Condition codes that the manuals call undefined
 * keep their value, as they do on processors.
 */
import { CR0, VECTOR } from '../architecture.ts';
import { OP, OPS } from '../decode/opcodes.ts';
import { CPU } from '../state.ts';
import {
  type EnvironmentFormat,
  type FxFormat,
  fxrstor,
  fxsave,
  initialize,
  readEnvironment,
  restoreAll,
  saveAll,
  writeEnvironment,
} from './environment.ts';
import type { Instruction } from './instruction.ts';
import { ARITHMETIC } from './instructions-arithmetic.ts';
import { COMPARE } from './instructions-compare.ts';
import { CONTROL } from './instructions-control.ts';
import { TRANSCENDENTAL } from './instructions-transcendental.ts';
import { TRANSFER } from './instructions-transfer.ts';
import { RegisterStack, STATUS } from './register-stack.ts';

export { NO_STORE } from './instruction.ts';

/** Mnemonics of what X87.execute takes. */
export const X87_INSTRUCTIONS: Readonly<Record<string, Instruction>> = {
  ...ARITHMETIC,
  ...TRANSFER,
  ...COMPARE,
  ...TRANSCENDENTAL,
  ...CONTROL,
  fninit: (s) => {
    initialize(s);
    return undefined;
  },
};

/** Instructions that do not look for a pending exception before. */
const NO_WAIT = new Set(['fninit', 'fnclex', 'fnstcw', 'fnstsw', 'fnstenv', 'fnsave', 'fxsave', 'fxrstor']);

/** By operation number: OPS of the decoder. */
const BY_NUMBER: readonly (Instruction | undefined)[] = OPS.map((name) => X87_INSTRUCTIONS[name]);
const WAITS: readonly boolean[] = OPS.map((name) => !NO_WAIT.has(name));

export class X87 {
  readonly #stack: RegisterStack;

  /** view: the WebAssembly memory; cpu: address of the vCPU's block in it. */
  constructor(view: DataView, cpu: number) {
    this.#stack = new RegisterStack(view, cpu);
  }

  /**
   * The faults that come before an operand is read: 0, or 1 + vector for #NM (CR0.EM, CR0.TS) or #MF (an exception is
   * pending and the instruction waits). For MMX and FXSAVE instructions, which treat CR0.EM differently, it is not meant.
   */
  check(op: number): number {
    const { view, cpu, status } = this.#stack;
    const cr0 = view.getUint32(cpu + CPU.cr0, true);
    const unavailable =
      op === OP.fwait ? (cr0 & CR0.mp) !== 0 && (cr0 & CR0.ts) !== 0 : (cr0 & (CR0.em | CR0.ts)) !== 0;
    if (unavailable) return 1 + VECTOR.nm;
    return (status & STATUS.summary) !== 0 && WAITS[op] ? 1 + VECTOR.mf : 0;
  }

  /**
   * Executes one of X87_INSTRUCTIONS, after check has let it through. A memory operand has been loaded, zero-extended, to
   * slots t1 (its low 8 bytes) and t2 (bytes 8 and 9 of 10); what is to be stored is left there in the same way, and
   * FNSTSW leaves its word there in its register form too. a and b are ST indices, a the destination; size is that of
   * the memory operand in bytes, 0 for register forms. Sets the flags of the block for FCOMI and its like. The
   * instruction and data pointers and the opcode are left to the caller, who writes them to the block or does not.
   *
   * Returns 0, or NO_STORE if an exception that is not masked keeps the result from being stored: the instruction is
   * done then, without its store.
   */
  execute(op: number, a: number, b: number, size: number): number {
    const instruction = BY_NUMBER[op];
    if (instruction === undefined) throw new Error(`${OPS[op]} is not an instruction of x87`);
    return instruction(this.#stack, a, b, size) ?? 0;
  }

  /** FNINIT. */
  init(): void {
    initialize(this.#stack);
  }

  /** FNSTENV: 14 or 28 bytes by the format. Masks all exceptions afterwards. */
  saveEnvironment(image: DataView, format: EnvironmentFormat): void {
    writeEnvironment(this.#stack, image, format);
    this.#stack.control |= STATUS.exceptions;
  }

  /** FLDENV. */
  loadEnvironment(image: DataView, format: EnvironmentFormat): void {
    readEnvironment(this.#stack, image, format);
  }

  /** FNSAVE: 94 or 108 bytes by the format. */
  save(image: DataView, format: EnvironmentFormat): void {
    saveAll(this.#stack, image, format);
  }

  /** FRSTOR. */
  restore(image: DataView, format: EnvironmentFormat): void {
    restoreAll(this.#stack, image, format);
  }

  /** FXSAVE: 512 bytes, of which reserved ones are left alone. The caller has checked the alignment and CR0. */
  fxsave(image: DataView, format: FxFormat): void {
    fxsave(this.#stack, image, format);
  }

  /** FXRSTOR: 0, or 1 + the vector of #GP for an image with reserved bits of MXCSR, which changes nothing. */
  fxrstor(image: DataView, format: FxFormat): number {
    return fxrstor(this.#stack, image, format) ? 0 : 1 + VECTOR.gp;
  }
}
