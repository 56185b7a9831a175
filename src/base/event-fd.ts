import { close, O_CLOEXEC, O_NONBLOCK } from './fd.ts';
import { check, EAGAIN, EINTR, errno, libc, pin } from './ffi.ts';
import { SystemError } from './system-error.ts';

const cEventfd = libc<(initial: number, flags: number) => number>('int eventfd(unsigned int, int)');
const cRead = libc<(fd: number, address: number, n: number) => number>('int64_t read(int, int64_t, int64_t)');
const cWrite = libc<(fd: number, address: number, n: number) => number>('int64_t write(int, int64_t, int64_t)');

/** The counter as this thread reads it, and the constant one that it writes. */
const counter = new Uint32Array(2);
const counterAddress = pin(counter);
const oneAddress = pin(Uint32Array.of(1, 0));

/** eventfd(2): a counter in the kernel that threads and processes wake each other with. Never blocks. */
export class EventFd {
  readonly fd: number;

  /** Wraps a descriptor that is an eventfd already, such as one received from another thread. */
  constructor(fd: number) {
    this.fd = fd;
  }

  static create(): EventFd {
    return new EventFd(check(cEventfd(0, O_NONBLOCK | O_CLOEXEC), 'eventfd'));
  }

  /** Adds one and wakes whoever waits. (A counter at its limit stays there: the waiter is awake anyway.) */
  signal(): void {
    while (cWrite(this.fd, oneAddress, 8) === -1) {
      const reason = errno();
      if (reason === EAGAIN) return;
      if (reason !== EINTR) throw new SystemError('write(eventfd)', reason);
    }
  }

  /** Returns the counter, modulo 2^32, and sets it to 0; 0 when nobody has signalled. */
  clear(): number {
    while (cRead(this.fd, counterAddress, 8) === -1) {
      const reason = errno();
      if (reason === EAGAIN) return 0;
      if (reason !== EINTR) throw new SystemError('read(eventfd)', reason);
    }
    return counter[0]!;
  }

  close(): void {
    close(this.fd);
  }
}
