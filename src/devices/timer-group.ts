import type { TimedDevice } from './device.ts';

/** Several timed devices as one. */
export class TimerGroup implements TimedDevice {
  readonly #devices: readonly TimedDevice[];

  constructor(devices: readonly TimedDevice[]) {
    this.#devices = devices;
  }

  deadline(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const device of this.#devices) first = Math.min(first, device.deadline());
    return first;
  }

  tick(): void {
    for (const device of this.#devices) if (device.deadline() !== Number.POSITIVE_INFINITY) device.tick();
  }
}
