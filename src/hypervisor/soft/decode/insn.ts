/** One decoded x86 instruction. The decoder fills the same object again and again: copy what must live longer. */

/** What an operand is. */
export const OPERAND = {
  none: 0,
  /** General register; `reg` 0-15, and for 8-bit operands 16-19 are AH CH DH BH. */
  gpr: 1,
  /** Memory at the instruction's one memory address (seg, base, index, scale, disp). */
  mem: 2,
  /** Immediate: imm (and immHigh for 64-bit). */
  imm: 3,
  /** Branch target: imm is the displacement from the end of the instruction. */
  rel: 4,
  /** Segment register 0-5: ES CS SS DS FS GS. */
  seg: 5,
  /** Control register. */
  cr: 6,
  /** Debug register. */
  dr: 7,
  /** XMM register 0-15. */
  xmm: 8,
  /** MMX register 0-7. */
  mmx: 9,
  /** x87 stack register ST(0)-ST(7). */
  st: 10,
  /** Far pointer in the instruction: imm is the offset, immHigh the selector. */
  far: 11,
} as const;

/** `base` and `index` of a memory operand that has none, and the base of a RIP-relative one. */
export const NO_REGISTER = 0xff;
export const RIP = 0x10;

export const SEG = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;

/** An operand: its kind, its register (where the kind has one) and its width in bytes. */
export class Operand {
  kind: number = OPERAND.none;
  reg = 0;
  /**
   * Width in bytes of what the instruction uses: 1, 2, 4, 8, 6 and 10 (far pointers, descriptor-table registers and 80-bit floats), 16,
   * 14, 28, 94, 108 (x87 environment and state), 512 (fxsave); 0 where it has none (lea, invlpg). An XMM operand has the width of the
   * elements used: 4 for addss. Immediates have the operand size they are extended to, branch targets that of the instruction pointer.
   */
  size = 0;
}

export class Insn {
  /** Semantic operation: an index into OPS (opcodes.ts); 0 is invalid (#UD). */
  op = 0;
  /** Condition code 0-15 of jcc, setcc, cmovcc (Intel SDM vol. 2, B.1.4.7). */
  cc = 0;
  /** Bytes, 1 to 15. */
  length = 0;
  /** Effective operand size in bytes: 2, 4 or 8 (1 for the byte forms). String instructions have no operands, only this. */
  opSize = 4;
  /** Effective address size in bytes: 2, 4 or 8. */
  addrSize = 8;
  /** 0, 0xf2 or 0xf3: the last repeat prefix, where it is not part of the opcode. */
  rep = 0;
  lock = false;
  /**
   * Segment of the memory operand, or of the source of a string instruction, xlat and the target of maskmovq, after overrides and
   * defaults (SEG). In 64-bit mode only FS and GS have a base.
   */
  seg: number = SEG.ds;
  base = NO_REGISTER;
  index = NO_REGISTER;
  /** 0 to 3: the index is shifted left by it. */
  scale = 0;
  /** Displacement, sign-extended to 32 bits; with 8-byte addresses to 64: dispHigh is the upper half (of moffs the one it has). */
  disp = 0;
  dispHigh = 0;
  /**
   * Immediate as a signed 32-bit number, immHigh the upper half. Those of the operand size and branch displacements are sign-extended
   * to 64 bits; those that are a byte for themselves (byte operations, ports, vectors, shift counts, controls) or a word (ret, enter)
   * are unsigned.
   */
  imm = 0;
  immHigh = 0;
  /** A second immediate (enter). */
  imm2 = 0;
  readonly a = new Operand();
  readonly b = new Operand();
  readonly c = new Operand();

  clone(): Insn {
    const { a, b, c, ...fields } = this;
    const copy = Object.assign(new Insn(), fields);
    Object.assign(copy.a, a);
    Object.assign(copy.b, b);
    Object.assign(copy.c, c);
    return copy;
  }
}

/** Sizes that the code segment and mode give: 16-bit, 32-bit or 64-bit code. */
export type CodeSize = 2 | 4 | 8;
