/** Moves the state of a device out of its back end, and into another (vhost-user, "Migrating back-end state"). */
import { close, pipe, read, setNonBlocking, write } from '../../base/fd.ts';
import { waitReadable, waitWritable } from '../../base/readable.ts';
import { LOAD, SAVE, STATE_ERROR, STOPPED } from '../protocol/device-state.ts';
import { protocolError } from '../protocol/message.ts';
import { type FrontEnd, RefusedError } from './front-end.ts';

/** How long a back end may take for the next bytes, in milliseconds. */
const PATIENCE = 5_000;
/** The most bytes of a state. That of our own devices is never so long. */
const MAX_STATE = 16 << 20;
const CHUNK = 65536;

const LATE = `the back end has left the transfer of its state for ${PATIENCE} ms`;

/**
 * The state of a device with VHOST_USER_PROTOCOL_F_DEVICE_STATE, none of whose queues runs. Throws as `FrontEnd.request`
 * does: a `RefusedError` where the device would not.
 */
export function saveDeviceState(frontEnd: FrontEnd): Uint8Array {
  using from = startTransfer(frontEnd, SAVE);
  const state = readAll(from.fd);
  check(frontEnd);
  return state;
}

/** Gives a device, none of whose queues runs, the state of another one. Throws likewise. */
export function loadDeviceState(frontEnd: FrontEnd, state: Uint8Array): void {
  {
    using to = startTransfer(frontEnd, LOAD);
    writeAll(to.fd, state);
  }
  check(frontEnd);
}

/** Our end of a pipe whose other end the back end has. */
function startTransfer(frontEnd: FrontEnd, direction: typeof SAVE | typeof LOAD): { fd: number } & Disposable {
  const [reader, writer] = pipe();
  const [ours, theirs] = direction === SAVE ? [reader, writer] : [writer, reader];
  let fd = ours;
  try {
    const answer = frontEnd.requestWithFd('SET_DEVICE_STATE_FD', { direction, phase: STOPPED }, [theirs]);
    // A back end may bring a pipe of its own.
    if (answer.fd !== undefined) {
      close(ours);
      fd = answer.fd;
    }
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

function check(frontEnd: FrontEnd): void {
  if (frontEnd.request('CHECK_DEVICE_STATE', undefined) !== 0n) throw new RefusedError('CHECK_DEVICE_STATE');
}

function readAll(fd: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (let length = 0; ; ) {
    const chunk = new Uint8Array(CHUNK);
    const n = read(fd, chunk);
    if (n === 0) return new Uint8Array(Buffer.concat(chunks, length));
    if (n > 0) chunks.push(chunk.subarray(0, n));
    else if (!waitReadable(fd, PATIENCE)) throw protocolError(LATE);
    length += Math.max(0, n);
    if (length > MAX_STATE) throw protocolError(`the back end has more than ${MAX_STATE} bytes of state`);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const n = write(fd, bytes.subarray(done));
    if (n >= 0) done += n;
    else if (!waitWritable(fd, PATIENCE)) throw protocolError(LATE);
  }
}
