/**
 * Keeps the time stamp counters of the vCPUs in step. Whoever makes or restores a VM sets one after the other to about
 * the same value, at different times; what they should have is the same offset from the clock. KVM guesses alike.
 */
import { Lock } from '../../memory/lock.ts';
import { TSC_OFFSET } from './layout.ts';

/** Values that are nearer to what the others' counters show, in ticks, mean the same. */
const NEAR = 1_000_000_000;

export class TscSync {
  readonly #lock: Lock;
  readonly #isSet: Int32Array;
  readonly #offset: Float64Array;

  /** `buffer`: the WebAssembly memory. */
  constructor(buffer: ArrayBufferLike) {
    this.#lock = new Lock(new Int32Array(buffer, TSC_OFFSET.lock, 1));
    this.#isSet = new Int32Array(buffer, TSC_OFFSET.isSet, 1);
    this.#offset = new Float64Array(buffer, TSC_OFFSET.value, 1);
  }

  /**
   * What to add to the clock for a counter that is set from outside to `value`, at `now` of the clock: 0, which is what
   * new vCPUs get, and values near the others' counters give theirs.
   */
  offsetFor(value: number, now: number): number {
    this.#lock.acquire();
    const shared = this.#offset[0]!;
    const inStep = this.#isSet[0] !== 0 && (value === 0 || Math.abs(value - (now + shared)) < NEAR);
    const offset = inStep ? shared : value - now;
    this.#offset[0] = offset;
    this.#isSet[0] = 1;
    this.#lock.release();
    return offset;
  }
}
