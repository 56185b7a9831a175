import type { ByteSink } from '../devices/device.ts';
import { close } from './fd.ts';
import { check, libc } from './ffi.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

const cSocket = libc<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');
const cConnect = libc<(fd: number, address: Uint8Array, n: number) => number>(
  'int connect(int, const void *, unsigned int)',
);
const cSend = libc<(fd: number, bytes: Uint8Array, n: number, flags: number) => number>(
  'int64_t send(int, const void *, int64_t, int)',
);

/** A socket that sends datagrams to a path. Throws `E_SOCKET_PATH`, or `SystemError` when there is no receiver at `path`. */
export function connectDatagrams(path: string): number {
  const address = unixAddress(path);
  const fd = check(cSocket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
  try {
    check(cConnect(fd, address, address.length), 'connect', path);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Sends each write as one datagram to a unix socket. What the receiver does not take in time is lost. */
export class UnixDatagramSink implements ByteSink {
  readonly #fd: number;

  /** `fd` is one of `connectDatagrams`, and becomes the sink's. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  write(bytes: Uint8Array): void {
    cSend(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  close(): void {
    close(this.#fd);
  }
}
