/** When a vCPU looks up from its guest: by the host's clock, or by the number of instructions alone. */
import type { Clock, TimedDevice } from '../../devices/device.ts';
import { MAX_OVERSHOOT } from './engine.ts';
import type { InstructionClock } from './instruction-clock.ts';

/** Instructions between two looks at the host's clock: usually, and while interrupts of devices are expected. */
const BUDGET = 100_000;
const EXPECTANT_BUDGET = 20_000;
const SHORTEST_BUDGET = 500;
/** A guess of how many instructions one nanosecond has, to stop near the next deadline. */
const INSTRUCTIONS_PER_NS = 0.08;
/** What fits the budget's 32 bits by far. */
const LONGEST_BUDGET = 1e9;
const NEVER = Number.POSITIVE_INFINITY;

/** How a vCPU sleeps. */
export interface Sleeper {
  /** Sleeps until somebody calls the vCPU, unless that was since it last looked; at most `milliseconds`, which may be Infinity. */
  sleep(milliseconds: number): void;
}

/** The time of one vCPU, and the devices that its thread ticks. */
export interface VcpuTime {
  readonly clock: Clock;
  add(device: TimedDevice): void;
  /** Ticks the devices that are due. */
  tick(): void;
  /**
   * How many instructions to execute before the next look; 0: one, alone. `isExpectant`: soon, as there will be something
   * to see that does not ask for attention.
   */
  plan(isExpectant: boolean): number;
  /** Takes note of instructions that have been executed since `plan`. */
  executed(instructions: number): void;
  /** Whether a deadline has come nearer since `plan`. */
  isSooner(): boolean;
  /** The vCPU waits for another one: sleeps for at most `milliseconds`, if it has time. */
  rest(sleeper: Sleeper, milliseconds: number): void;
  /** The vCPU is halted: lets time pass until the next deadline, or until somebody calls. */
  wait(sleeper: Sleeper): void;
}

/** The first deadline of `devices`, in nanoseconds of the clock. */
function firstDeadline(devices: readonly TimedDevice[]): number {
  let first = NEVER;
  for (const device of devices) first = Math.min(first, device.deadline());
  return first;
}

/** Real time. Deadlines are met to within the budget, which is made for the nearest of them. */
export class HostTime implements VcpuTime {
  readonly clock: Clock;
  readonly #devices: TimedDevice[] = [];
  #planned = NEVER;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(device: TimedDevice): void {
    this.#devices.push(device);
  }

  tick(): void {
    if (firstDeadline(this.#devices) === NEVER) return;
    const now = this.clock.now();
    for (const device of this.#devices) if (device.deadline() <= now) device.tick();
  }

  plan(isExpectant: boolean): number {
    const most = isExpectant ? EXPECTANT_BUDGET : BUDGET;
    this.#planned = firstDeadline(this.#devices);
    if (this.#planned === NEVER) return most;
    const left = (this.#planned - this.clock.now()) * INSTRUCTIONS_PER_NS;
    return Math.max(SHORTEST_BUDGET, Math.min(most, Math.floor(left)));
  }

  executed(): void {}

  isSooner(): boolean {
    return firstDeadline(this.#devices) < this.#planned;
  }

  rest(sleeper: Sleeper, milliseconds: number): void {
    sleeper.sleep(Math.min(milliseconds, (firstDeadline(this.#devices) - this.clock.now()) / 1e6));
  }

  wait(sleeper: Sleeper): void {
    sleeper.sleep((firstDeadline(this.#devices) - this.clock.now()) / 1e6);
  }
}

/**
 * Time that is instructions. A device is ticked before the first instruction that begins at its deadline or later,
 * however the code is cut into blocks: the vCPU runs to a little before the deadline, and from there one instruction at a
 * time. That needs every instruction that may bring a deadline nearer to end the run (`isSooner`).
 */
export class InstructionTime implements VcpuTime {
  readonly clock: InstructionClock;
  readonly #devices: TimedDevice[] = [];
  #planned = NEVER;
  #budget = 0;
  #pause = NEVER;
  #onPause = () => {};

  constructor(clock: InstructionClock) {
    this.clock = clock;
  }

  add(device: TimedDevice): void {
    this.#devices.push(device);
  }

  /** Calls back once at the first block end at `time` or later. */
  pauseNear(time: number, onPause: () => void): void {
    this.#pause = time;
    this.#onPause = onPause;
  }

  tick(): void {
    const now = this.clock.now();
    for (const device of this.#devices) if (device.deadline() <= now) device.tick();
    if (now < this.#pause) return;
    this.#pause = NEVER;
    this.#onPause();
  }

  plan(): number {
    this.#planned = firstDeadline(this.#devices);
    const now = this.clock.now();
    const untilDeadline = Math.ceil(this.#planned - now) - MAX_OVERSHOOT;
    const untilPause = Math.max(1, Math.ceil(this.#pause - now));
    this.#budget = Math.max(0, Math.min(LONGEST_BUDGET, untilDeadline, untilPause));
    return this.#budget;
  }

  executed(instructions: number): void {
    this.clock.advance(instructions);
    const late = this.clock.now() - this.#planned;
    if (this.#budget > 0 && late > 0) throw new Error(`the vCPU has run ${late} instructions past a deadline`);
  }

  isSooner(): boolean {
    return firstDeadline(this.#devices) < this.#planned;
  }

  /** It is the only vCPU. */
  rest(): void {}

  wait(sleeper: Sleeper): void {
    const deadline = Math.min(firstDeadline(this.#devices), this.#pause);
    if (deadline === NEVER) sleeper.sleep(NEVER);
    else this.clock.advance(Math.max(0, Math.ceil(deadline - this.clock.now())));
  }
}
