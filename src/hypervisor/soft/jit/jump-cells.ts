import { AREA, areaOf, JUMP_CELLS, JUMP_ENTRY_SIZE, vcpuOf } from '../layout.ts';
import type { I32 } from '../wasm/expr.ts';

/**
 * Deals out the jump cells of a vCPU (layout.ts), in turns: what two places share tells them apart, as the entries of the
 * jump cache do, so that none needs to be given back.
 */
export class JumpCells {
  /** Address of the first cell, which is dealt to nobody. */
  readonly first: number;
  readonly #targets: Uint32Array;
  #next = 1;

  /** `cpu`: address of the vCPU's block in `memory`. */
  constructor(memory: ArrayBufferLike, cpu: number) {
    this.first = firstCell(cpu);
    this.#targets = new Uint32Array(memory, areaOf(vcpuOf(cpu)) + AREA.ownTargets, JUMP_CELLS);
  }

  /** Address of the first of `count` cells that lie side by side: less than JUMP_CELLS of them. */
  take(count: number): number {
    if (this.#next + count > JUMP_CELLS) this.#next = 1;
    const cells = this.first + this.#next * JUMP_ENTRY_SIZE;
    this.#next += count;
    return cells;
  }

  /** Says which of `count` cells have targets of their own. `blockOf`: as chain.ts has it. */
  setTargets(
    first: number,
    count: number,
    targets: readonly OwnTarget[],
    blockOf: (region: number, block: number) => number,
  ): void {
    const start = (first - this.first) / JUMP_ENTRY_SIZE;
    this.#targets.fill(0, start, start + count);
    for (const { cell, region, block } of targets) this.#targets[start + cell] = blockOf(region, block);
  }
}

/** A cell of a module, by number, whose place was compiled together with the block that it leads to. */
export interface OwnTarget {
  readonly cell: number;
  /** Both counted within the module and the region. */
  readonly region: number;
  readonly block: number;
}

/** The cells of a module, in which they are counted from a start that it is told when it is instantiated. */
export class ModuleCells {
  /** Of the cell that belongs to nobody. */
  readonly nobody: number;
  readonly #start: I32;
  readonly ownTargets: OwnTarget[] = [];
  /** The region that takes cells. */
  region = 0;
  #count = 0;

  /** `cpu`: address of the vCPU's block. */
  constructor(cpu: number, start: I32) {
    this.nobody = firstCell(cpu);
    this.#start = start;
  }

  get count(): number {
    return this.#count;
  }

  /** Address of a cell; `target`: the block of the region that its place leads to, if it does. */
  take(target?: number): I32 {
    if (target !== undefined) this.ownTargets.push({ cell: this.#count, region: this.region, block: target });
    return this.#start.add(this.#count++ * JUMP_ENTRY_SIZE);
  }
}

function firstCell(cpu: number): number {
  return areaOf(vcpuOf(cpu)) + AREA.jumpCells;
}
