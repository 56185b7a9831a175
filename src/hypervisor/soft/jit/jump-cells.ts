import { AREA, areaOf, JUMP_CELLS, JUMP_ENTRY_SIZE, vcpuOf } from '../layout.ts';
import type { I32 } from '../wasm/expr.ts';

/**
 * Deals out the jump cells of a vCPU (layout.ts), in turns: what two places share tells them apart, as the entries of the
 * jump cache do, so that none needs to be given back.
 */
export class JumpCells {
  /** Address of the first cell, which is dealt to nobody. */
  readonly first: number;
  #next = 1;

  /** `cpu`: address of the vCPU's block. */
  constructor(cpu: number) {
    this.first = firstCell(cpu);
  }

  /** Address of the first of `count` cells that lie side by side: less than JUMP_CELLS of them. */
  take(count: number): number {
    if (this.#next + count > JUMP_CELLS) this.#next = 1;
    const cells = this.first + this.#next * JUMP_ENTRY_SIZE;
    this.#next += count;
    return cells;
  }
}

/** The cells of a module, in which they are counted from a start that it is told when it is instantiated. */
export class ModuleCells {
  /** Of the cell that belongs to nobody. */
  readonly nobody: number;
  readonly #start: I32;
  #count = 0;

  /** `cpu`: address of the vCPU's block. */
  constructor(cpu: number, start: I32) {
    this.nobody = firstCell(cpu);
    this.#start = start;
  }

  get count(): number {
    return this.#count;
  }

  /** Address of a cell. */
  take(): I32 {
    return this.#start.add(this.#count++ * JUMP_ENTRY_SIZE);
  }
}

function firstCell(cpu: number): number {
  return areaOf(vcpuOf(cpu)) + AREA.jumpCells;
}
