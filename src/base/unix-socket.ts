/**
 * Unix sockets of type SOCK_SEQPACKET, which Node's own net module does not have: connections that keep the borders of
 * messages. The control socket of a VM is one.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { CrosvmError } from '../errors.ts';
import { close } from './fd.ts';
import { check, EAGAIN, EINTR, errno, libc } from './ffi.ts';
import { onReadable, type Subscription, waitReadable } from './readable.ts';
import { SystemError } from './system-error.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const BACKLOG = 16;

/** The longest message that either side may send, in bytes. */
export const MAX_MESSAGE = 65536;

const cSocket = libc<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');
const cBind = libc<(fd: number, address: Uint8Array, n: number) => number>('int bind(int, const void *, unsigned int)');
const cConnect = libc<(fd: number, address: Uint8Array, n: number) => number>(
  'int connect(int, const void *, unsigned int)',
);
const cListen = libc<(fd: number, backlog: number) => number>('int listen(int, int)');
const cAccept = libc<(fd: number, address: number, n: number, flags: number) => number>(
  'int accept4(int, int64_t, int64_t, int)',
);
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
export class PacketListener {
  readonly path: string;
  readonly fd: number;
  readonly #inode: number;
  #subscription: Subscription | undefined;
  #closed = false;

  /** Throws `E_SOCKET_PATH` when the path is too long, `E_SOCKET_IN_USE` when something is there already. */
  constructor(path: string) {
    const address = unixAddress(path);
    this.path = path;
    this.fd = newSocket();
    try {
      if (cBind(this.fd, address, address.length) === -1) throw bindError(path, new SystemError('bind', errno(), path));
      this.#inode = lstatSync(path).ino;
      check(cListen(this.fd, BACKLOG), 'listen', path);
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Calls back on the main event loop with every connection that arrives. Its sends and receives never block. */
  onConnection(callback: (connection: PacketConnection) => void): void {
    this.#subscription = onReadable(this.fd, () => {
      if (this.#closed) return;
      const connection = cAccept(this.fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
      // A peer that gave up, or no descriptor left: the next one may fare better.
      if (connection !== -1) callback(new PacketConnection(connection));
    });
  }

  /** Waits for one connection, blocking this thread. */
  accept(): PacketConnection {
    return new PacketConnection(check(cAccept(this.fd, 0, 0, SOCK_CLOEXEC), 'accept', this.path));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#subscription?.close();
    close(this.fd);
    // Somebody may have removed our socket and put their own there.
    if (lstatSync(this.path, { throwIfNoEntry: false })?.ino === this.#inode) unlinkSync(this.path);
  }
}

/** Connects to a listener. Throws `E_SOCKET_CONNECT` when nobody listens there. Sends and receives block. */
export function connectPacket(path: string): PacketConnection {
  const address = unixAddress(path);
  const fd = newSocket();
  if (cConnect(fd, address, address.length) === -1) {
    const cause = new SystemError('connect', errno(), path);
    close(fd);
    throw connectError(path, cause);
  }
  return new PacketConnection(fd);
}

function newSocket(): number {
  return check(cSocket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), 'socket');
}

function bindError(path: string, cause: SystemError): CrosvmError {
  if (cause.errno !== 'EADDRINUSE') return cause;
  const message = `cannot create the socket ${path}: something is there already; remove it if no VM uses it`;
  return new CrosvmError('E_SOCKET_IN_USE', message, { cause });
}

function connectError(path: string, cause: SystemError): CrosvmError {
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such socket',
    ECONNREFUSED: 'no VM listens there',
    EPROTOTYPE: 'it is a socket of another kind',
  };
  const reason = reasons[cause.errno];
  if (reason === undefined) return cause;
  return new CrosvmError('E_SOCKET_CONNECT', `cannot connect to ${path}: ${reason}`, { cause });
}
