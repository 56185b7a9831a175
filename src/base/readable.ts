import { check, EINTR, errno, koffi, libc } from './ffi.ts';

const POLLIN = 1;
const POLLOUT = 4;
const cPoll = libc<(fds: Int32Array, n: number, timeout: number) => number>('int poll(void *, uint64_t, int)');

/** Ends a subscription; more than once does nothing. Do it before the descriptor is closed. */
export interface Subscription {
  close(): void;
}

/**
 * Calls back on the main event loop whenever the descriptor has something to read or its other end is gone. Keeps the
 * process alive until closed.
 */
export function onReadable(fd: number, callback: () => void): Subscription {
  return subscribe(fd, { readable: true, disconnect: true }, callback);
}

/** Calls back on the main event loop when the other end of a connection is gone. Keeps the process alive until closed. */
export function onHangUp(fd: number, callback: () => void): Subscription {
  const subscription = subscribe(fd, { disconnect: true }, () => {
    subscription.close();
    callback();
  });
  return subscription;
}

function subscribe(
  fd: number,
  events: { readonly readable?: boolean; readonly disconnect: true },
  callback: () => void,
) {
  const handle = koffi.node.poll(fd, events, () => callback());
  let closed = false;
  return {
    close() {
      if (!closed) handle.close();
      closed = true;
    },
  };
}

/** Settles when the descriptor has something to read or its other end is gone, or after `timeout` milliseconds. */
export async function untilReadable(fd: number, timeout: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const subscription = onReadable(fd, resolve);
  const timer = setTimeout(resolve, timeout);
  await promise;
  clearTimeout(timer);
  subscription.close();
}

/** Blocks for at most `timeout` milliseconds (-1: for ever); whether the descriptor then has something to read. */
export function waitReadable(fd: number, timeout: number): boolean {
  const end = timeout < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout;
  for (let left = timeout; ; left = Number.isFinite(end) ? Math.max(0, Math.ceil(end - performance.now())) : -1) {
    const ready = poll(fd, POLLIN, left);
    if (ready !== -1 || errno() !== EINTR) return check(ready, 'poll') > 0;
  }
}

/**
 * Blocks for at most `timeout` milliseconds, or until a signal comes; whether the descriptor then takes at least one
 * byte (or an error, such as the reader of a pipe being gone).
 */
export function waitWritable(fd: number, timeout: number): boolean {
  const ready = poll(fd, POLLOUT, timeout);
  if (ready === -1 && errno() === EINTR) return false;
  return check(ready, 'poll') > 0;
}

/** One struct pollfd: int fd, short events, short revents. */
const pollFd = new Int32Array(2);

function poll(fd: number, events: number, timeout: number): number {
  pollFd[0] = fd;
  pollFd[1] = events;
  return cPoll(pollFd, 1, timeout);
}
