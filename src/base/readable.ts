import { check, koffi, libc } from './ffi.ts';

const POLLIN = 1;
const cPoll = libc<(fds: Int32Array, n: number, timeout: number) => number>('int poll(void *, uint64_t, int)');

/** Ends a subscription of `onReadable`. Do it before the descriptor is closed. */
export interface Subscription {
  close(): void;
}

/**
 * Calls back on the main event loop whenever the descriptor has something to read or its other end is gone. Keeps the
 * process alive until closed.
 */
export function onReadable(fd: number, callback: () => void): Subscription {
  const handle = koffi.node.poll(fd, { readable: true, disconnect: true }, () => callback());
  return { close: () => handle.close() };
}

/** Blocks for at most `timeout` milliseconds (-1: for ever); whether the descriptor then has something to read. */
export function waitReadable(fd: number, timeout: number): boolean {
  // struct pollfd: int fd, short events, short revents.
  return check(cPoll(Int32Array.of(fd, POLLIN), 1, timeout), 'poll') > 0;
}
