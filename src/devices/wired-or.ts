import type { InterruptController } from '../hypervisor/hypervisor.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import type { InterruptLine } from './device.ts';

const GSIS = 24;
const SOURCES = 64;
const WORDS = SOURCES / 32;

export const WiredOrState = sharedStruct({
  /** For each GSI a bit for each source that asserts it. */
  asserted: ['u32', GSIS * WORDS],
});

/**
 * Interrupt wires that several devices share: a GSI is high while at least one of its sources asserts it. The controller
 * hears of changes only, which for an interrupt controller in the kernel saves a system call each time.
 */
export class WiredOr {
  readonly #state: InstanceType<typeof WiredOrState>;
  readonly #controller: InterruptController;

  constructor(state: InstanceType<typeof WiredOrState>, controller: InterruptController) {
    this.#state = state;
    this.#controller = controller;
  }

  /** The wire of `source` (0-63, one for each device, the same on every thread) to `gsi` (0-23). */
  line(gsi: number, source: number): InterruptLine {
    if (!(gsi >= 0 && gsi < GSIS)) throw new RangeError(`there is no GSI ${gsi} to wire`);
    if (!(source >= 0 && source < SOURCES)) throw new RangeError(`there is no interrupt source ${source}`);
    const word = gsi * WORDS + (source >> 5);
    const bit = 1 << (source & 31);
    const state = this.#state;
    return {
      set: (level) => {
        // Devices call this on every register access: most of the time nothing changes, and that is seen without the lock.
        // A device changes its own bit under its own lock only, so the bit cannot change in between.
        if (((state.asserted[word]! & bit) !== 0) === level) return;
        this.#change(gsi, word, bit, level);
      },
    };
  }

  #change(gsi: number, word: number, bit: number, level: boolean): void {
    const { asserted, lock } = this.#state;
    lock.acquire();
    try {
      const before = this.#isAsserted(gsi);
      asserted[word] = level ? asserted[word]! | bit : asserted[word]! & ~bit;
      if (this.#isAsserted(gsi) !== before) this.#controller.setLine(gsi, level);
    } finally {
      lock.release();
    }
  }

  #isAsserted(gsi: number): boolean {
    const { asserted } = this.#state;
    for (let i = 0; i < WORDS; i++) if (asserted[gsi * WORDS + i] !== 0) return true;
    return false;
  }
}
