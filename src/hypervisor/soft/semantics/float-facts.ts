import type { V128 } from '../wasm/expr.ts';
import type { Operand } from './emit.ts';
import { type Lanes, splatFloat } from './float-lanes.ts';

/**
 * What is known, where semantics are emitted, of MXCSR and the vector registers, because code before has checked it: the
 * JIT remembers it within a block, the interpreter knows nothing.
 */
export interface FloatFacts {
  /** Whether MXCSR is as plainMode() of float-lanes.ts wants it. */
  plain: boolean;
  /** The elements of a vector operand, `bytes` bytes each, that are not denormal: bit 0 for the lowest. */
  normal(operand: Operand, bytes: 4 | 8): number;
  /** Notes that of an operand, after it was written. */
  note(operand: Operand, bytes: 4 | 8, normal: number): void;
  /** The smallest normal number in all lanes. Engines make a constant anew each time; a compiled region keeps it. */
  smallest(lanes: Lanes): V128;
}

export const NO_FACTS: FloatFacts = {
  get plain() {
    return false;
  },
  set plain(_known) {},
  normal: () => 0,
  note: () => {},
  smallest: (lanes) => splatFloat(lanes, lanes.smallest),
};
