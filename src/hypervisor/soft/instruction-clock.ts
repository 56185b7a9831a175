/** Time that is the guest's own work: each instruction takes a nanosecond, and a halted CPU none of the host's time. */
import type { Clock } from '../../devices/device.ts';
import { blockOf } from './layout.ts';
import { CPU } from './state.ts';

/** The wall-clock time at which every deterministic guest starts: 2026-01-01 00:00:00 UTC, in milliseconds since 1970. */
export const DETERMINISTIC_EPOCH = Date.UTC(2026, 0, 1);

/**
 * The clock of a VM with one vCPU whose time depends on nothing of the host. Its time is in the vCPU's block: exact on
 * the thread that runs the vCPU, and as of the last time that the vCPU looked up on others.
 */
export class InstructionClock implements Clock {
  /** Instructions that the vCPU has executed since it was entered: for the vCPU's own thread to set. */
  sinceEntry: () => number = () => 0;
  readonly #time: Float64Array;

  constructor(buffer: ArrayBufferLike) {
    this.#time = new Float64Array(buffer, blockOf(0) + CPU.time, 1);
  }

  now(): number {
    return this.#time[0]! + this.sinceEntry();
  }

  wallTime(): number {
    return DETERMINISTIC_EPOCH + this.now() / 1e6;
  }

  /** Moves the time on by `ns` nanoseconds, or instructions. */
  advance(ns: number): void {
    this.#time[0] = this.#time[0]! + ns;
  }
}
