/** Input that is complete before a deterministic guest starts: it reaches the guest at times of the guest's own clock. */
import type { Clock, TimedDevice } from '../devices/device.ts';
import { type InputPort, InputPump, type Timers } from './input-pump.ts';

/** All that a serial port `num` (1-4) will ever get: survives structured clone. */
export interface PortScript {
  readonly num: number;
  readonly bytes: Uint8Array;
}

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

const NS_PER_MS = 1e6;

/** Feeds serial ports on the thread of the vCPU, which ticks this. */
export class ScriptedInput implements TimedDevice, Timers {
  readonly #clock: Clock;
  readonly #rearm: () => void;
  readonly #pumps = new Map<number, InputPump>();
  readonly #timers = new Set<Timer>();

  /** `rearm`: the deadline has come nearer. */
  constructor(clock: Clock, rearm: () => void) {
    this.#clock = clock;
    this.#rearm = rearm;
  }

  connect(port: InputPort, { num, bytes }: PortScript): void {
    const pump = new InputPump(port, this);
    this.#pumps.set(num, pump);
    pump.push(bytes, () => {});
    pump.end();
  }

  /** Port `num` has room again. Called with its lock held; false if it is not fed from here. */
  room(num: number): boolean {
    const pump = this.#pumps.get(num);
    if (pump !== undefined) this.after(0, () => pump.room());
    return pump !== undefined;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#clock.now() + ms * NS_PER_MS, callback };
    this.#timers.add(timer);
    this.#rearm();
    return () => void this.#timers.delete(timer);
  }

  deadline(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { at } of this.#timers) first = Math.min(first, at);
    return first;
  }

  /** Timers that are due run in the order in which they were set. */
  tick(): void {
    const now = this.#clock.now();
    for (const timer of [...this.#timers]) {
      if (timer.at <= now && this.#timers.delete(timer)) timer.callback();
    }
  }
}
