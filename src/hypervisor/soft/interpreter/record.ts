/**
 * The record of a micro-operation, which is what the interpreter executes. Records of a block lie one after the other,
 * behind its header, whose immediate counts down to the block's compilation, or says where in a compiled region it is.
 *
 *     0  u16  micro-operation
 *     2  u16  bits 0-11: where the instruction starts in its page; FIRST, LAST; bits 14-15: scale
 *     4  u8   operand a: slot or vector register      } branches: u16, instructions of the block up to and with this
 *     5  u8   operand b                               }
 *     6  u8   slot of the base register               } calls: u16, offset in the page of the next instruction
 *     7  u8   slot of the index register              }
 *     8  i32  displacement; direct branches: the record of the target, or NO_LINK or UNRESOLVED
 *    12  i32  immediate; direct branches: the target's offset from the start of this page
 *
 * A header has a u32 at 4, what it counts down from, and at 8 the CPU.jitEpoch in which it was executed last.
 */
export const RECORD = {
  op: 0,
  start: 2,
  a: 4,
  b: 5,
  base: 6,
  index: 7,
  disp: 8,
  imm: 12,
  count: 4,
  next: 6,
  link: 8,
  full: 4,
  epoch: 8,
} as const;
export const RECORD_SIZE = 16;

/** The first record of an instruction; the block's last one. */
export const FIRST = 1 << 12;
export const LAST = 1 << 13;
export const SCALE_SHIFT = 14;

/** A direct branch that goes by the jump cache (another page), and one whose target was never needed so far. */
export const NO_LINK = 0;
export const UNRESOLVED = 1;
