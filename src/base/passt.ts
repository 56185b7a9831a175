import { spawn } from 'node:child_process';
import { CrosvmError } from '../errors.ts';
import { setSendBuffer, streamPair } from './unix-stream.ts';

/** A TCP port of the host, on its loopback interface, that leads to one of the guest. */
export interface ForwardedPort {
  readonly host: number;
  readonly guest: number;
}

/** Where passt finds its end of the connection. */
const FD = 3;
/** How long it may take to start. */
const START_TIMEOUT_MS = 10_000;
const MAX_WORDS = 10_000;
/**
 * What passt may have on its way to us, in bytes: it sends a whole TCP window at once, loses what does not fit, and then sends
 * it again. A guest's window has up to 6 MiB.
 */
const SEND_BUFFER = 8 << 20;
/** What it says besides the reason of a failure. */
const CHATTER = /^(|Failed to send \d+ bytes to syslog|Don't run as root\. .*)$/;

/**
 * Starts passt, which carries a guest's packets over ordinary sockets of the host, with DHCP and DNS for the guest and
 * without any privilege. `mtu`, in bytes, is what it tells the guest of the largest packet. It is a program of its own, shut away by itself, and ends with the connection. Returns our end.
 * Throws `E_PASST` when it is not installed or does not start, as when a port of the host is taken.
 */
export async function startPasst(forwards: readonly ForwardedPort[], mtu: number): Promise<number> {
  const [ours, theirs] = streamPair();
  setSendBuffer(theirs.fd, SEND_BUFFER);
  try {
    await untilStarted(forwards, mtu, theirs.fd);
  } catch (error) {
    ours.close();
    const message = `networking without privileges is not possible: ${(error as Error).message}`;
    throw new CrosvmError('E_PASST', message, { cause: error });
  } finally {
    theirs.close();
  }
  return ours.fd;
}

/** It goes into the background once it listens at all ports. Rejects with the reason if it does not come to that. */
function untilStarted(forwards: readonly ForwardedPort[], mtu: number, fd: number): Promise<void> {
  const words = forwards.flatMap(({ host, guest }) => ['-t', `127.0.0.1/${host}:${guest}`]);
  const child = spawn('passt', ['--quiet', '--fd', `${FD}`, '--mtu', `${mtu}`, ...words], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    detached: true,
    timeout: START_TIMEOUT_MS,
  });
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MAX_WORDS);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', (error) => {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    reject(isMissing ? new Error('the program passt is not installed (apt install passt)', { cause: error }) : error);
  });
  child.once('exit', (status) => {
    if (status !== 0) return;
    child.stderr!.destroy();
    resolve();
  });
  child.once('close', (status, signal) => {
    const reason = said.split('\n').findLast((line) => !CHATTER.test(line));
    reject(new Error(`passt: ${reason ?? (signal === null ? `exit status ${status}` : `killed by ${signal}`)}`));
  });
  return promise;
}
