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
  /** Width in bytes: 1, 2, 4, 8, 6 and 10 (far pointers and 80-bit floats), 16; 0 where it has none (lea, invlpg). */
  size = 0;
}

export class Insn {
  /** Semantic operation: an index into OPS (opcodes.ts); 0 is invalid (#UD). */
  op = 0;
  /** Condition code 0-15 of jcc, setcc, cmovcc (Intel SDM vol. 2, B.1.4.7). */
  cc = 0;
  /** Bytes, 1 to 15. */
  length = 0;
  /** Effective operand size in bytes: 2, 4 or 8 (1 for the byte forms). */
  opSize = 4;
  /** Effective address size in bytes: 2, 4 or 8. */
  addrSize = 8;
  /** 0, 0xf2 or 0xf3: the last repeat prefix, where it is not part of the opcode. */
  rep = 0;
  lock = false;
  /** Segment of the memory operand after overrides and defaults (SEG). In 64-bit mode only FS and GS have a base. */
  seg: number = SEG.ds;
  base = NO_REGISTER;
  index = NO_REGISTER;
  /** 0 to 3: the index is shifted left by it. */
  scale = 0;
  /** Displacement, sign-extended to 32 bits. moffs addresses put their high half in dispHigh. */
  disp = 0;
  dispHigh = 0;
  /** Immediate, sign-extended as the instruction says to 32 bits (signed); immHigh is the upper half where it has 64. */
  imm = 0;
  immHigh = 0;
  /** A second immediate (enter). */
  imm2 = 0;
  readonly a = new Operand();
  readonly b = new Operand();
  readonly c = new Operand();
}

/** Sizes that the code segment and mode give: 16-bit, 32-bit or 64-bit code. */
export type CodeSize = 2 | 4 | 8;
