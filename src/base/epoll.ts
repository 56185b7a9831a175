import { close, O_CLOEXEC } from './fd.ts';
import { addressOf, check, EINTR, errno, libc, pin } from './ffi.ts';
import { systemCall } from './system-call.ts';
import { SystemError } from './system-error.ts';

export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

/** struct epoll_event is packed on x86-64: u32 events, u64 data. We keep the token in the low half of the data. */
const EVENT_WORDS = 3;

const cCreate = libc<(flags: number) => number>('int epoll_create1(int)');
const cControl = libc<(epoll: number, operation: number, fd: number, event: number) => number>(
  'int epoll_ctl(int, int, int, int64_t)',
);
const cWait = libc<(epoll: number, events: number, max: number, timeout: number) => number>(
  'int epoll_wait(int, int64_t, int, int)',
);

/** epoll_pwait2(2), which takes a timeout in nanoseconds: from Linux 5.11 on. */
const SYS_EPOLL_PWAIT2 = 441;
const ENOSYS = 38;
/** struct timespec: seconds and nanoseconds, 64 bits each. */
const time = new Uint32Array(4);
const timeAddress = pin(time);
let hasPwait2 = true;
/** What epoll_wait(2) takes, in milliseconds. */
const LONGEST = 0x7fff_ffff;

/**
 * Waits, blocking this thread, for any of many descriptors. For the synchronous loops of device processes and worker
 * threads; the main thread uses `onReadable`. Each descriptor has a token, a number from 0 to 2^32 - 1 of the caller's
 * choice.
 */
export class WaitContext {
  /** What another thread of the process makes its own object of, to add and remove descriptors while this one waits. */
  readonly fd: number;
  readonly #capacity: number;
  readonly #words: Uint32Array;
  readonly #address: number;
  readonly #change = new Uint32Array(EVENT_WORDS);
  readonly #changeAddress: number;

  /** One wait reports at most `capacity` descriptors; the rest come with the next. `fd`: of a context that exists. */
  constructor(capacity = 32, fd: number = check(cCreate(O_CLOEXEC), 'epoll_create1')) {
    this.fd = fd;
    this.#capacity = capacity;
    this.#words = new Uint32Array(EVENT_WORDS * capacity);
    this.#address = addressOf(this.#words);
    this.#changeAddress = addressOf(this.#change);
  }

  /** Waits for `events` (EPOLL flags, level-triggered) on `fd` from now on. */
  add(fd: number, token: number, events = EPOLLIN): void {
    this.#control(EPOLL_CTL_ADD, fd, token, events);
  }

  /** Changes what is waited for on a descriptor that was added, and its token. */
  modify(fd: number, token: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, token, events);
  }

  /** Takes a descriptor out; do it before closing the descriptor. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /**
   * Blocks until something is ready, for at most `timeout` milliseconds (-1: for ever; parts of one count as far as the
   * system lets them). Returns how many descriptors are ready: 0 when the time is up or a signal came. Read them with
   * `token(i)` and `events(i)`.
   */
  wait(timeout: number): number {
    const limited = Math.min(timeout, LONGEST);
    const n = Number.isInteger(limited) ? this.#wait(limited) : this.#waitExactly(limited);
    if (n !== -1) return n;
    const reason = errno();
    if (reason !== EINTR) throw new SystemError('epoll_wait', reason);
    return 0;
  }

  /** The token of the i-th descriptor that the last wait found ready. */
  token(i: number): number {
    return this.#words[i * EVENT_WORDS + 1]!;
  }

  /** What is ready on the i-th descriptor: EPOLL flags. */
  events(i: number): number {
    return this.#words[i * EVENT_WORDS]!;
  }

  close(): void {
    close(this.fd);
  }

  #wait(milliseconds: number): number {
    return cWait(this.fd, this.#address, this.#capacity, milliseconds);
  }

  #waitExactly(milliseconds: number): number {
    if (hasPwait2) {
      time[0] = Math.floor(milliseconds / 1000);
      time[2] = Math.floor((milliseconds % 1000) * 1e6);
      const n = systemCall(SYS_EPOLL_PWAIT2, this.fd, this.#address, this.#capacity, timeAddress, 0, 0);
      if (n !== -1 || errno() !== ENOSYS) return n;
      hasPwait2 = false;
    }
    return this.#wait(Math.ceil(milliseconds));
  }

  #control(operation: number, fd: number, token: number, events: number): void {
    this.#change[0] = events;
    this.#change[1] = token;
    check(cControl(this.fd, operation, fd, this.#changeAddress), 'epoll_ctl', `descriptor ${fd}`);
  }
}
