import { OP, type OpName } from '../decode/opcodes.ts';

const SIZE_SHIFT = 16;

/**
 * What Emit.exact() gets for a vector instruction: the operation and, where an instruction has forms of two widths, the
 * size in bytes that decides (of the general operand).
 */
export const exactCode = (op: OpName, size = 0): number => OP[op] | (size << SIZE_SHIFT);

/** The Insn.op of an exactCode. */
export const exactOp = (code: number): number => code & ((1 << SIZE_SHIFT) - 1);

/** The size in an exactCode. */
export const exactSize = (code: number): number => code >> SIZE_SHIFT;
