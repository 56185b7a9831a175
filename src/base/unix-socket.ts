/**
 * Unix sockets of type SOCK_SEQPACKET, which Node's own net module does not have: connections that keep the borders of
 * messages. The control socket of a VM is one.
 */
import { CrosvmError } from '../errors.ts';
import { close } from './fd.ts';
import { EAGAIN, EINTR, errno, libc } from './ffi.ts';
import { onReadable, type Subscription, waitReadable } from './readable.ts';
import { SystemError } from './system-error.ts';
import { connectUnix, SOCK_SEQPACKET, UnixListener, unixPair } from './unix-listener.ts';

const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;

/** The longest message that either side may send, in bytes. */
export const MAX_MESSAGE = 65536;

const cSend = libc<(fd: number, bytes: Uint8Array, n: number, flags: number) => number>(
  'int64_t send(int, const void *, int64_t, int)',
);
const cReceive = libc<(fd: number, bytes: Uint8Array, n: number, flags: number) => number>(
  'int64_t recv(int, void *, int64_t, int)',
);

/** One end of a connection. */
export class PacketConnection {
  readonly fd: number;
  #subscription: Subscription | undefined;
  #closed = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Sends one message of 1 to MAX_MESSAGE bytes. Throws `SystemError`: EPIPE when the other end is gone, EAGAIN when an
   * accepted connection's peer does not read.
   */
  send(message: Uint8Array): void {
    while (cSend(this.fd, message, message.length, MSG_NOSIGNAL) === -1) {
      const reason = errno();
      if (reason !== EINTR) throw new SystemError('send', reason);
    }
  }

  /**
   * Waits for one message, at most `timeout` milliseconds (-1: for ever). Undefined at the end of the connection.
   * Throws `E_SOCKET_TIMEOUT`, and `E_SOCKET_MESSAGE` for a message longer than MAX_MESSAGE.
   */
  receive(timeout = -1): Uint8Array | undefined {
    if (timeout >= 0 && !waitReadable(this.fd, timeout)) {
      throw new CrosvmError('E_SOCKET_TIMEOUT', `the other end of the socket has not answered within ${timeout} ms`);
    }
    const message = this.#receiveNow();
    if (message === 'nothing') throw new SystemError('recv', EAGAIN);
    return message;
  }

  /**
   * From now on hands every message that arrives to `callback`, on the main event loop; undefined once, at the end or
   * when the peer breaks the rules. Close the connection then.
   */
  onMessage(callback: (message: Uint8Array | undefined) => void): void {
    this.#subscription = onReadable(this.fd, () => {
      if (this.#closed) return;
      const message = this.#receiveOrEnd();
      if (message === undefined) this.#unsubscribe();
      if (message !== 'nothing') callback(message);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    close(this.fd);
  }

  #unsubscribe(): void {
    this.#subscription?.close();
    this.#subscription = undefined;
  }

  #receiveOrEnd(): Uint8Array | 'nothing' | undefined {
    try {
      return this.#receiveNow();
    } catch {
      return undefined;
    }
  }

  #receiveNow(): Uint8Array | 'nothing' | undefined {
    const buffer = new Uint8Array(MAX_MESSAGE);
    for (;;) {
      const n = cReceive(this.fd, buffer, buffer.length, MSG_TRUNC);
      if (n > MAX_MESSAGE) {
        throw new CrosvmError('E_SOCKET_MESSAGE', `a message of ${n} bytes is longer than the ${MAX_MESSAGE} allowed`);
      }
      if (n > 0) return buffer.slice(0, n);
      if (n === 0) return undefined;
      const reason = errno();
      if (reason === EAGAIN) return 'nothing';
      if (reason !== EINTR) throw new SystemError('recv', reason);
    }
  }
}

/** A listening socket in the file system, removed from there by `close`. */
export class PacketListener extends UnixListener<PacketConnection> {
  constructor(path: string) {
    super(path, SOCK_SEQPACKET, (fd) => new PacketConnection(fd));
  }
}

/** Connects to a listener. Throws `E_SOCKET_CONNECT` when nobody listens there. Sends and receives block. */
export function connectPacket(path: string): PacketConnection {
  return new PacketConnection(connectUnix(path, SOCK_SEQPACKET));
}

/** Two ends that are connected with each other. Sends and receives block. */
export function packetPair(): [PacketConnection, PacketConnection] {
  const [one, other] = unixPair(SOCK_SEQPACKET);
  return [new PacketConnection(one), new PacketConnection(other)];
}
