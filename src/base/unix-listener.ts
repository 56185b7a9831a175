/** What unix sockets of all types that have connections share: to listen in the file system, and to connect. */
import { lstatSync, unlinkSync } from 'node:fs';
import { CrosvmError } from '../errors.ts';
import { close } from './fd.ts';
import { check, errno, libc } from './ffi.ts';
import { onReadable, type Subscription, waitReadable } from './readable.ts';
import { SystemError } from './system-error.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;

const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
const BACKLOG = 16;

const cSocket = libc<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');
const cBind = libc<(fd: number, address: Uint8Array, n: number) => number>('int bind(int, const void *, unsigned int)');
const cConnect = libc<(fd: number, address: Uint8Array, n: number) => number>(
  'int connect(int, const void *, unsigned int)',
);
const cListen = libc<(fd: number, backlog: number) => number>('int listen(int, int)');
const cAccept = libc<(fd: number, address: number, n: number, flags: number) => number>(
  'int accept4(int, int64_t, int64_t, int)',
);

const cSocketPair = libc<(domain: number, type: number, protocol: number, fds: Int32Array) => number>(
  'int socketpair(int, int, int, void *)',
);

/** A listening socket in the file system, removed from there by `close`. */
export class UnixListener<Connection> {
  readonly path: string;
  readonly fd: number;
  readonly #connection: (fd: number) => Connection;
  readonly #inode: number;
  #subscription: Subscription | undefined;
  #closed = false;

  /**
   * `type` is SOCK_STREAM or SOCK_SEQPACKET; `connection` wraps the descriptor of one. Throws `E_SOCKET_PATH` when the
   * path is too long, `E_SOCKET_IN_USE` when something is there already.
   */
  constructor(path: string, type: number, connection: (fd: number) => Connection) {
    const address = unixAddress(path);
    this.path = path;
    this.#connection = connection;
    this.fd = newSocket(type | SOCK_NONBLOCK);
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
  onConnection(callback: (connection: Connection) => void): void {
    this.#subscription = onReadable(this.fd, () => {
      if (this.#closed) return;
      const connection = this.acceptNow();
      if (connection !== undefined) callback(connection);
    });
  }

  /** Waits for one connection, blocking this thread. */
  accept(): Connection {
    waitReadable(this.fd, -1);
    return this.#connection(check(cAccept(this.fd, 0, 0, SOCK_CLOEXEC), 'accept', this.path));
  }

  /** Takes a connection as `acceptUnix` does. */
  acceptNow(): Connection | undefined {
    const fd = acceptUnix(this.fd);
    return fd === undefined ? undefined : this.#connection(fd);
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

/**
 * The descriptor of a connection to a socket that listens, if there is one. Its sends and receives never block. Undefined
 * also for a peer that gave up, and when no descriptor is left: the next one may fare better.
 */
export function acceptUnix(listener: number): number | undefined {
  const fd = cAccept(listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return fd === -1 ? undefined : fd;
}

/** A connected descriptor whose sends and receives block. Throws `E_SOCKET_CONNECT` when nobody listens there. */
export function connectUnix(path: string, type: number): number {
  const address = unixAddress(path);
  const fd = newSocket(type);
  if (cConnect(fd, address, address.length) === -1) {
    const cause = new SystemError('connect', errno(), path);
    close(fd);
    throw connectError(path, cause);
  }
  return fd;
}

/** Two descriptors of sockets that are connected with each other. */
export function unixPair(type: number): [number, number] {
  const fds = new Int32Array(2);
  check(cSocketPair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 'socketpair');
  return [fds[0]!, fds[1]!];
}

function newSocket(type: number): number {
  return check(cSocket(AF_UNIX, type | SOCK_CLOEXEC, 0), 'socket');
}

function bindError(path: string, cause: SystemError): CrosvmError {
  if (cause.errno !== 'EADDRINUSE') return cause;
  const message = `cannot create the socket ${path}: something is there already; remove it if nobody uses it`;
  return new CrosvmError('E_SOCKET_IN_USE', message, { cause });
}

function connectError(path: string, cause: SystemError): CrosvmError {
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such socket',
    ECONNREFUSED: 'nobody listens there',
    EPROTOTYPE: 'it is a socket of another kind',
  };
  const reason = reasons[cause.errno];
  if (reason === undefined) return cause;
  return new CrosvmError('E_SOCKET_CONNECT', `cannot connect to ${path}: ${reason}`, { cause });
}
