/**
 * One row of an opcode table: `[key, op, operands, flags]`, written as in the opcode maps of the Intel SDM (vol. 2, appendix A).
 *
 * key: `[prefix] [0f [38|3a]] opcode[+r|+cc] [/digit | modrm] [reg|mem]`. The prefix is `np` (none), `66`, `f2` or `f3` where it
 * selects the instruction; without one the row takes every prefix that no other row of this opcode claims. `+r` is eight opcodes with a
 * register in the low bits, `+cc` sixteen with a condition. `/digit` is the reg field of ModRM, `modrm` a whole ModRM byte.
 *
 * op: the semantic operation.
 *
 * operands: up to three of
 *   E R M H    ModRM.rm: general register or memory, register only, memory only, register whatever ModRM.mod says
 *   G          ModRM.reg: general register             Z   general register in the opcode
 *   W U        ModRM.rm: XMM or memory, XMM only        V   ModRM.reg: XMM
 *   Q N        ModRM.rm: MMX or memory, MMX only        P   ModRM.reg: MMX
 *   S C D      ModRM.reg: segment, control, debug register
 *   I          immediate; sIb sign-extended byte, Ib2 into imm2
 *   J   branch displacement                    A   far pointer
 *   O          memory at an address in the instruction  X Y implied memory at rSI / rDI (no operand: only sets opSize)
 *   followed by a width: b w d q x t = 1 2 4 8 16 10 bytes, v the operand size, z the operand size but at most 4, y 4 or (REX.W) 8,
 *   n 4 or (64-bit mode) 8, p far pointer, a two of the operand size, s descriptor-table register (6 or 10), e and f the x87
 *   environment and state, k 512; or of the fixed ones AL rAX eAX CL DX AX 1 ES CS SS DS FS GS ST0 STi.
 *
 * flags: lock (LOCK allowed with a memory destination), i64 (invalid in 64-bit mode), o64 (only there), d64 (operand size 8 by
 * default there), f64 (8 whatever the prefixes), o32 (at most 4), w1 (replaces the row above of the same key under REX.W).
 */
export type OpcodeRow<Name extends string = string> = readonly [
  key: string,
  op: Name,
  operands?: string,
  flags?: string,
];
