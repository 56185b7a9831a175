import type { Clock, TimedDevice } from '../devices/device.ts';

/** Longer than this setTimeout does not take; it looks again then. */
const MAX_DELAY_MS = 2 ** 31 - 1;
const NS_PER_MS = 1e6;

/** Wakes a device on the event loop when its time has come, to the precision of setTimeout (about a millisecond). */
export class DeadlineTimer {
  readonly #device: TimedDevice;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(device: TimedDevice, clock: Clock) {
    this.#device = device;
    this.#clock = clock;
  }

  /** Looks at the device's deadline again. */
  rearm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const deadline = this.#device.deadline();
    if (this.#closed || deadline === Number.POSITIVE_INFINITY) return;
    const delay = Math.max(0, Math.ceil((deadline - this.#clock.now()) / NS_PER_MS));
    this.#timer = setTimeout(() => this.#fire(), Math.min(delay, MAX_DELAY_MS));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #fire(): void {
    if (this.#clock.now() >= this.#device.deadline()) this.#device.tick();
    this.rearm();
  }
}
