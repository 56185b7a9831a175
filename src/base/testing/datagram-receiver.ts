import { close, read } from '../fd.ts';
import { check, libc } from '../ffi.ts';
import { unixAddress } from '../unix-address.ts';

const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;
const socket = libc<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');
const bind = libc<(fd: number, address: Uint8Array, n: number) => number>('int bind(int, const void *, unsigned int)');

/** A unix socket at `path` that datagrams are sent to. */
export class DatagramReceiver {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = check(socket(1, SOCK_DGRAM_NONBLOCK, 0), 'socket');
    const address = unixAddress(path);
    check(bind(this.#fd, address, address.length), 'bind');
  }

  /** The next datagram, as text; undefined if there is none yet. */
  take(): string | undefined {
    const bytes = new Uint8Array(65536);
    const n = read(this.#fd, bytes);
    return n === -1 ? undefined : new TextDecoder().decode(bytes.subarray(0, n));
  }

  close(): void {
    close(this.#fd);
  }
}
