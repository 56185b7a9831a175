import { close, O_CLOEXEC, O_NONBLOCK, read } from './fd.ts';
import { check, libc, pin } from './ffi.ts';

const CLOCK_MONOTONIC = 1;

const cCreate = libc<(clock: number, flags: number) => number>('int timerfd_create(int, int)');
const cSet = libc<(fd: number, flags: number, value: number, old: number) => number>(
  'int timerfd_settime(int, int, int64_t, int64_t)',
);

/** struct itimerspec: interval and first time, each 8 bytes of seconds and of nanoseconds. */
const spec = new BigInt64Array(4);
const specAddress = pin(spec);
const count = new Uint8Array(8);

/** Wakes a loop that waits for descriptors, every few milliseconds while it is on (timerfd_create(2)). */
export class PeriodicTimer {
  readonly fd = check(cCreate(CLOCK_MONOTONIC, O_CLOEXEC | O_NONBLOCK), 'timerfd_create');

  /** From now on every `milliseconds` (less than 1000); never with 0. */
  set(milliseconds: number): void {
    spec[1] = spec[3] = BigInt(milliseconds * 1_000_000);
    check(cSet(this.fd, 0, specAddress, 0), 'timerfd_settime');
  }

  /** Has seen that the time has come. */
  clear(): void {
    read(this.fd, count);
  }

  close(): void {
    close(this.fd);
  }
}
