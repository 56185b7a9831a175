import { AREA, areaOf, JUMP_CELLS, JUMP_ENTRY_SIZE, vcpuOf } from '../layout.ts';

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
    this.first = areaOf(vcpuOf(cpu)) + AREA.jumpCells;
  }

  /** Address of a cell. */
  take(): number {
    const cell = this.first + this.#next * JUMP_ENTRY_SIZE;
    this.#next = this.#next + 1 < JUMP_CELLS ? this.#next + 1 : 1;
    return cell;
  }
}
