import type { Clock } from '../devices/device.ts';

/**
 * The host's CLOCK_MONOTONIC and wall clock. All threads of a process agree when they are made with the same origin:
 * make one in the main thread and hand its `origin` to the workers.
 */
export class HostClock implements Clock {
  /** CLOCK_MONOTONIC's whole seconds at which `now` is 0. Keeps nanoseconds exact on hosts that are up for months. */
  readonly origin: number;

  constructor(origin: number = process.hrtime()[0]) {
    this.origin = origin;
  }

  now(): number {
    const time = process.hrtime();
    return (time[0] - this.origin) * 1_000_000_000 + time[1];
  }

  wallTime(): number {
    return Date.now();
  }
}
