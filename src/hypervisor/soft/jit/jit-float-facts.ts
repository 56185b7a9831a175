/** What a compiled block has found out about floats so far. */
import type { Operand } from '../semantics/emit.ts';
import type { FloatFacts } from '../semantics/float-facts.ts';
import { type Lanes, splatFloat } from '../semantics/float-lanes.ts';
import { MMX_FIRST } from '../state.ts';
import type { V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';

/** Bits of #normal for elements of 8 bytes lie above those for 4. */
const SHIFT = { 4: 0, 8: 4 } as const;
const LANES = { 4: 0xf, 8: 3 } as const;

export class JitFloatFacts implements FloatFacts {
  plain = false;
  /** By the number of a vector register. */
  readonly #normal = new Uint8Array(MMX_FIRST);
  readonly #numberOf: (operand: Operand) => number;
  readonly #f: FunctionBuilder;
  readonly #smallest = new Map<Lanes, Local<'v128'>>();

  constructor(f: FunctionBuilder, numberOf: (operand: Operand) => number) {
    this.#f = f;
    this.#numberOf = numberOf;
  }

  /** Sets the constants that the region uses, at its start. */
  enter(): void {
    this.#f.later(() => {
      for (const [lanes, local] of this.#smallest) this.#f.set(local, splatFloat(lanes, lanes.smallest));
    });
  }

  smallest(lanes: Lanes): V128 {
    let local = this.#smallest.get(lanes);
    if (local === undefined) {
      local = this.#f.lasting('v128');
      this.#smallest.set(lanes, local);
    }
    return local;
  }

  normal(operand: Operand, bytes: 4 | 8): number {
    return ((this.#normal[this.#numberOf(operand)] ?? 0) >> SHIFT[bytes]) & LANES[bytes];
  }

  note(operand: Operand, bytes: 4 | 8, normal: number): void {
    const number = this.#numberOf(operand);
    if (number < MMX_FIRST) this.#normal[number]! |= normal << SHIFT[bytes];
  }

  /** A register is written; with the value of register `from`, if that is given. */
  written(number: number, from?: number): void {
    this.#normal[number] = from === undefined ? 0 : this.#normal[from]!;
  }

  /** At the start of a block, which is reached on many ways. */
  forget(): void {
    this.plain = false;
    this.#normal.fill(0);
  }
}
