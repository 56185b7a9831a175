/**
 * Unix sockets of type SOCK_STREAM that carry file descriptors beside bytes (SCM_RIGHTS): what vhost-user and vfio-user
 * speak over. Descriptors that arrive are close-on-exec and belong to the receiver.
 */
import { CrosvmError } from '../errors.ts';
import { close, closeAll } from './fd.ts';
import { addressOf, check, EAGAIN, EINTR, errno, libc, pin } from './ffi.ts';
import { waitReadable, waitWritable } from './readable.ts';
import { SystemError } from './system-error.ts';
import { connectUnix, SOCK_STREAM, UnixListener, unixPair } from './unix-listener.ts';

const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const ECONNRESET = 104;
const SHUT_WR = 1;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const SCM_RIGHTS = 1;

/** The most descriptors that one `send` or `receive` carries. */
export const MAX_DESCRIPTORS = 32;

const cSendMessage = libc<(fd: number, header: number, flags: number) => number>('int64_t sendmsg(int, int64_t, int)');
const cReceiveMessage = libc<(fd: number, header: number, flags: number) => number>(
  'int64_t recvmsg(int, int64_t, int)',
);

const cShutdown = libc<(fd: number, how: number) => number>('int shutdown(int, int)');
const cSetsockopt = libc<(fd: number, level: number, name: number, value: Int32Array, length: number) => number>(
  'int setsockopt(int, int, int, const void *, unsigned int)',
);
const SHUT_RDWR = 2;

/** struct cmsghdr: u64 length, int level, int type; then the descriptors. One such is all that Linux sends. */
const CMSG_HEADER = 16;
const control = new Int32Array((CMSG_HEADER + 4 * MAX_DESCRIPTORS) / 4);
const controlAddress = pin(control);
/** struct iovec: address and length, each of 64 bits. */
const vector = new Uint32Array(4);
const vectorAddress = pin(vector);
/** struct msghdr: name, its length, iovec, count of them, control, its length, flags; 64 bits each but the last. */
const header = new Uint32Array(14);
const headerAddress = pin(header);
const HEADER_CONTROL_LENGTH = 10;
const HEADER_FLAGS = 12;
setU64(header, 4, vectorAddress);
setU64(header, 6, 1);

/** One end of a connection. */
export class StreamConnection {
  readonly fd: number;
  #closed = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Sends all of `bytes` (at least one), with `fds`, which stay the caller's, beside the first. Waits at most `timeout`
   * milliseconds (-1: for ever) for a peer that does not read: `E_SOCKET_TIMEOUT` then. Throws `SystemError` EPIPE when
   * the other end is gone.
   */
  send(bytes: Uint8Array, fds: readonly number[] = [], timeout = -1): void {
    const address = addressOf(bytes);
    let carried = fds;
    for (let done = 0; done < bytes.length; ) {
      setVector(address + done, bytes.length - done);
      setControl(carried);
      const n = cSendMessage(this.fd, headerAddress, MSG_NOSIGNAL | (timeout < 0 ? 0 : MSG_DONTWAIT));
      if (n === -1) {
        const reason = errno();
        if (reason === EAGAIN) this.#awaitRoom(timeout);
        else if (reason !== EINTR) throw new SystemError('sendmsg', reason);
        continue;
      }
      done += n;
      carried = [];
    }
  }

  /**
   * Takes what has arrived, without waiting: up to `length` bytes to `bytes[start]`, and appends descriptors that came
   * with them to `fds`. Returns the number of bytes; 0 at the end of the connection, -1 when nothing is there. Throws
   * `E_SOCKET_DESCRIPTORS`, with all of them closed, when there are more than MAX_DESCRIPTORS.
   */
  receive(bytes: Uint8Array, start: number, length: number, fds: number[]): number {
    for (;;) {
      setVector(addressOf(bytes) + start, length);
      setU64(header, 8, controlAddress);
      setU64(header, HEADER_CONTROL_LENGTH, control.byteLength);
      const n = cReceiveMessage(this.fd, headerAddress, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (n !== -1) {
        takeDescriptors(fds);
        return n;
      }
      const reason = errno();
      if (reason === EAGAIN) return -1;
      // A peer that was killed with bytes of ours unread: its end all the same.
      if (reason === ECONNRESET) return 0;
      if (reason !== EINTR) throw new SystemError('recvmsg', reason);
    }
  }

  /** Blocks for at most `timeout` milliseconds (-1: for ever); whether there is something to receive, or the end. */
  waitReadable(timeout: number): boolean {
    return waitReadable(this.fd, timeout);
  }

  /** Ends the connection for both sides, whoever else of this process has it. The descriptor stays. */
  shutdown(): void {
    cShutdown(this.fd, SHUT_RDWR); // the only failure is that it has ended
  }

  /** The other end reads the end of the connection; this one may go on reading. Does nothing if the other end is gone. */
  endWriting(): void {
    cShutdown(this.fd, SHUT_WR);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }

  #awaitRoom(timeout: number): void {
    const end = performance.now() + timeout;
    for (let left = timeout; left > 0; left = Math.ceil(end - performance.now())) {
      // A signal ends a wait early: this thread may be kicked at any time.
      if (waitWritable(this.fd, left)) return;
    }
    throw new CrosvmError('E_SOCKET_TIMEOUT', `the other end of the socket has not read for ${timeout} ms`);
  }
}

/** A listening socket in the file system, removed from there by `close`. */
export class StreamListener extends UnixListener<StreamConnection> {
  constructor(path: string) {
    super(path, SOCK_STREAM, (fd) => new StreamConnection(fd));
  }
}

/** Connects to a listener. Throws `E_SOCKET_CONNECT` when nobody listens there. */
export function connectStream(path: string): StreamConnection {
  return new StreamConnection(connectUnix(path, SOCK_STREAM));
}

/** Two ends that are connected with each other. */
export function streamPair(): [StreamConnection, StreamConnection] {
  const [one, other] = unixPair(SOCK_STREAM);
  return [new StreamConnection(one), new StreamConnection(other)];
}

/**
 * How many bytes may be on their way from this end of a connection. The system may allow less: as much as
 * net.core.wmem_max says, unless we have CAP_NET_ADMIN (socket(7)).
 */
export function setSendBuffer(fd: number, bytes: number): void {
  const size = Int32Array.of(bytes);
  if (cSetsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, size, size.byteLength) === 0) return;
  check(cSetsockopt(fd, SOL_SOCKET, SO_SNDBUF, size, size.byteLength), 'setsockopt(SO_SNDBUF)');
}

function setU64(words: Uint32Array | Int32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / 2 ** 32);
}

function setVector(address: number, length: number): void {
  setU64(vector, 0, address);
  setU64(vector, 2, length);
}

function setControl(fds: readonly number[]): void {
  if (fds.length > MAX_DESCRIPTORS) throw new RangeError(`${fds.length} descriptors in one message`);
  const length = fds.length === 0 ? 0 : CMSG_HEADER + 4 * fds.length;
  setU64(control, 0, length);
  control[2] = SOL_SOCKET;
  control[3] = SCM_RIGHTS;
  control.set(fds, CMSG_HEADER / 4);
  setU64(header, 8, length === 0 ? 0 : controlAddress);
  setU64(header, HEADER_CONTROL_LENGTH, length);
}

/** Appends what the last recvmsg brought; closes that and throws when some did not fit. */
function takeDescriptors(fds: number[]): void {
  const before = fds.length;
  if (header[HEADER_CONTROL_LENGTH]! >= CMSG_HEADER && control[2] === SOL_SOCKET && control[3] === SCM_RIGHTS) {
    const end = Math.min(control[0]!, header[HEADER_CONTROL_LENGTH]!);
    for (let at = CMSG_HEADER; at + 4 <= end; at += 4) fds.push(control[at / 4]!);
  }
  if ((header[HEADER_FLAGS]! & MSG_CTRUNC) === 0) return;
  closeAll(fds.splice(before));
  throw new CrosvmError(
    'E_SOCKET_DESCRIPTORS',
    `the other end of the socket sent more than the ${MAX_DESCRIPTORS} descriptors allowed in one message`,
  );
}
