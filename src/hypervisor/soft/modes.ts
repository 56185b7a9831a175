/** CPU.mode: what decoded code depends on besides its bytes. Code decoded in one mode is never executed in another. */
import type { CodeSize } from './decode/insn.ts';

export const MODE = {
  /** Bits 0-1: 0 16-bit, 1 32-bit, 2 64-bit code. */
  codeSize: 3,
  /** Privilege 3: only in the jump tags, as decoding does not depend on it. */
  user: 1 << 2,
  /**
   * Legacy only, and clear there for flat code: CS, SS, DS and ES have base 0 and limit 4 GiB, ES, SS and DS may be read
   * and written, and the stack pointer has 32 bits. So no access to them can fail its segment's checks.
   */
  checked: 1 << 3,
  /** One instruction at a time: RFLAGS.TF, a debugger, or one that must be alone. */
  step: 1 << 4,
  /** CR0.EM or TS is set: instructions of the FPU, MMX and SSE fault. */
  noFpu: 1 << 5,
  /** CR4.OSFXSR is not set: instructions on XMM registers fault. */
  noSse: 1 << 6,
} as const;
export const MODE_BITS = 7;
/** A jump tag is bit 31, a generation and a mode (with MODE.user): no tag is zero, as unused entries are. */
export const JUMP_TAG_VALID = 1 << 31;
export const JUMP_TAG_GENERATION = { one: 1 << MODE_BITS, mask: ~(JUMP_TAG_VALID | ((1 << MODE_BITS) - 1)) } as const;

export function codeSizeOf(mode: number): CodeSize {
  return (2 << (mode & MODE.codeSize)) as CodeSize;
}
