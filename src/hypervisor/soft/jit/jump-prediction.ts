/**
 * Where jumps out of compiled code go: each place has a jump cell (layout.ts) that says where it went the last time, and
 * a return has the cell of the call that it comes back from. If that is wrong, chain.ts looks the target up and enters it.
 */
import { isJumpKnown } from '../interpreter/lookup.ts';
import { CPU, RETURNS } from '../state.ts';
import type { I32, I64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';
import type { ModuleCells } from './jump-cells.ts';

export class JumpPrediction {
  readonly #f: FunctionBuilder;
  readonly #cpu: I32;
  readonly #cells: ModuleCells;

  constructor(f: FunctionBuilder, cpu: I32, cells: ModuleCells) {
    this.#f = f;
    this.#cpu = cpu;
    this.#cells = cells;
  }

  /** The address of a cell for a place that jumps; `target`: see ModuleCells. */
  newCell(target?: number): I32 {
    return this.#f.let(this.#cells.take(target));
  }

  /** A return will come back behind this place, to block `behind` if that is in the region. */
  noteCall(behind: number | undefined): void {
    const f = this.#f;
    const top = f.let(f.load32(this.#cpu, CPU.returnTop));
    f.store32(this.#place(top), CPU.returns, this.#cells.take(behind).sub(this.#cells.nobody));
    f.store32(this.#cpu, CPU.returnTop, top.add(1));
  }

  /** The address of the cell that the last call noted, of those that nothing has come back from. */
  takeReturn(): I32 {
    const f = this.#f;
    const top = f.let(f.load32(this.#cpu, CPU.returnTop).sub(1));
    f.store32(this.#cpu, CPU.returnTop, top);
    return f.let(f.load32(this.#place(top), CPU.returns).add(this.#cells.nobody));
  }

  /** Emits `otherwise` for when `cell` does not know the code at `target`; it is to learn it then, as that at CPU.rip. */
  check(cell: I32, target: I64, otherwise: () => void): void {
    const f = this.#f;
    f.ifRare(isJumpKnown(f, this.#cpu, cell, target).eqz(), () => {
      f.store32(this.#cpu, CPU.jumpCell, cell);
      otherwise();
    });
  }

  /** What a cell knows: the block of a region, as chain.ts has it. */
  of(cell: I32): I32 {
    return this.#f.load32(cell, 12);
  }

  #place(top: I32): I32 {
    return this.#cpu.add(top.and(RETURNS - 1).shl(2));
  }
}
