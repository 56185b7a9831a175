/** Moves the state of a device out of its back end, and into another (vhost-user, "Migrating back-end state"). */
import {
  close,
  isPipe,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  pipe,
  read,
  reopenPipe,
  replaceFd,
  setNonBlocking,
  write,
} from '../../base/fd.ts';
import { waitReadable, waitWritable } from '../../base/readable.ts';
import type { CrosvmError } from '../../errors.ts';
import { LOAD, SAVE, STATE_ERROR, STOPPED } from '../protocol/device-state.ts';
import { protocolError } from '../protocol/message.ts';
import { type FrontEnd, RefusedError } from './front-end.ts';

/** In milliseconds. */
const PATIENCE = 30_000;
/** The most bytes of a state. That of our own devices is never so long. */
const MAX_STATE = 16 << 20;
const FIRST_ROOM = 65536;

/**
 * The state of a device with VHOST_USER_PROTOCOL_F_DEVICE_STATE, none of whose queues runs. Throws as `FrontEnd.request`
 * does: a `RefusedError` where the device would not. `patience` is how long the back end may take for it, in milliseconds.
 */
export function saveDeviceState(frontEnd: FrontEnd, patience = PATIENCE): Uint8Array {
  using from = startTransfer(frontEnd, SAVE);
  const state = readAll(from.fd, patience);
  check(frontEnd);
  return state;
}

/** Gives a device, none of whose queues runs, the state of another one. Throws likewise. */
export function loadDeviceState(frontEnd: FrontEnd, state: Uint8Array, patience = PATIENCE): void {
  {
    using to = startTransfer(frontEnd, LOAD);
    writeAll(to.fd, state, patience);
  }
  check(frontEnd);
}

/** Our end of a pipe whose other end the back end has; it never blocks. */
function startTransfer(frontEnd: FrontEnd, direction: typeof SAVE | typeof LOAD): { fd: number } & Disposable {
  const [reader, writer] = pipe();
  const [ours, theirs] = direction === SAVE ? [reader, writer] : [writer, reader];
  let fd = ours;
  try {
    const answer = frontEnd.requestWithFd('SET_DEVICE_STATE_FD', { direction, phase: STOPPED }, [theirs]);
    if (answer.fd !== undefined) fd = exchanged(ours, answer.fd, direction === SAVE ? O_RDONLY : O_WRONLY);
    if ((answer.reply & STATE_ERROR) !== 0n) throw new RefusedError('SET_DEVICE_STATE_FD');
    setNonBlocking(fd, true);
  } catch (error) {
    close(fd);
    throw error;
  } finally {
    close(theirs);
  }
  return { fd, [Symbol.dispose]: () => close(fd) };
}

/**
 * A back end may bring a pipe of its own, which takes the place of ours, under its number. It is opened once more, as
 * whoever has an end of it, too, could make that one block.
 */
function exchanged(ours: number, brought: number, flags: number): number {
  try {
    if (!isPipe(brought)) throw protocolError('the back end has brought what is no pipe for its state');
    const own = reopenPipe(brought, flags | O_NONBLOCK);
    replaceFd(ours, own);
    close(own);
    return ours;
  } finally {
    close(brought);
  }
}

function check(frontEnd: FrontEnd): void {
  if (frontEnd.request('CHECK_DEVICE_STATE', undefined) !== 0n) throw new RefusedError('CHECK_DEVICE_STATE');
}

function readAll(fd: number, patience: number): Uint8Array {
  const end = performance.now() + patience;
  let bytes = new Uint8Array(FIRST_ROOM);
  for (let length = 0; ; ) {
    const n = read(fd, bytes.subarray(length));
    if (n === 0) return bytes.slice(0, length);
    if (n === -1 && !waitReadable(fd, left(end))) throw late(patience);
    length += Math.max(0, n);
    if (length > MAX_STATE) throw protocolError(`the back end has more than ${MAX_STATE} bytes of state`);
    if (length < bytes.length) continue;
    const larger = new Uint8Array(2 * length);
    larger.set(bytes);
    bytes = larger;
  }
}

function writeAll(fd: number, bytes: Uint8Array, patience: number): void {
  const end = performance.now() + patience;
  for (let done = 0; done < bytes.length; ) {
    const n = write(fd, bytes.subarray(done));
    if (n === -1 && left(end) === 0) throw late(patience);
    if (n === -1) waitWritable(fd, left(end));
    done += Math.max(0, n);
  }
}

/** Whole milliseconds until `end`. */
function left(end: number): number {
  return Math.max(0, Math.ceil(end - performance.now()));
}

function late(patience: number): CrosvmError {
  return protocolError(`the back end has not moved its state within ${patience} ms`);
}
