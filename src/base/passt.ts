import { spawn } from 'node:child_process';
import { CrosvmError } from '../errors.ts';
import { streamPair } from './unix-stream.ts';

/** A TCP port of the host, on its loopback interface, that leads to one of the guest. */
export interface ForwardedPort {
  readonly host: number;
  readonly guest: number;
}

/** Where passt finds its end of the connection. */
const FD = 3;

/**
 * Starts passt, which carries a guest's packets over ordinary sockets of the host, with DHCP and DNS for the guest and
 * without any privilege. It is a program of its own, shut away by itself, and ends with the connection. Returns our end.
 * Throws `E_PASST` when it is not installed or does not start.
 */
export async function startPasst(forwards: readonly ForwardedPort[]): Promise<number> {
  const [ours, theirs] = streamPair();
  const words = forwards.flatMap(({ host, guest }) => ['-t', `127.0.0.1/${host}:${guest}`]);
  const child = spawn('passt', ['--foreground', '--quiet', '--fd', `${FD}`, ...words], {
    stdio: ['ignore', 'ignore', 'inherit', theirs.fd],
    detached: true,
  });
  theirs.close();
  try {
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  } catch (error) {
    ours.close();
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const reason = isMissing ? 'the program passt is not installed (a package of that name has it)' : String(error);
    throw new CrosvmError('E_PASST', `networking without privileges is not possible: ${reason}`, { cause: error });
  }
  child.unref();
  return ours.fd;
}
