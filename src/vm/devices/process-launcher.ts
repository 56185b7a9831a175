import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { packetPair } from '../../base/unix-socket.ts';
import { streamPair } from '../../base/unix-stream.ts';
import type { DeviceJob } from '../../device-process/entry.ts';
import type { DeviceLauncher } from './launcher.ts';
import { descriptorOf, withDescriptor } from './spec-descriptor.ts';

const PROGRAM = fileURLToPath(new URL('./device-entry.js', import.meta.url));
/** Behind the standard streams. */
const SOCKET = 3;
const ORDERS = 4;
const INHERITED = 5;

/**
 * Runs each device in a process of its own. It is in a session of its own too, so that what a terminal sends to the VMM
 * does not reach it; it ends when its connection does, however the VMM ends.
 */
export const processLauncher: DeviceLauncher = {
  launch(name, spec, say) {
    const [ours, theirs] = streamPair();
    const [orders, theirOrders] = packetPair();
    const fd = descriptorOf(spec);
    const inherited = fd === undefined ? [] : [fd];
    const itsSpec = fd === undefined ? spec : withDescriptor(spec, INHERITED);
    const job: DeviceJob = { name, spec: itsSpec, socket: SOCKET, orders: ORDERS };
    const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...env } = process.env;
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(job)], {
      stdio: ['ignore', 'ignore', 'pipe', theirs.fd, theirOrders.fd, ...inherited],
      detached: true,
      cwd: process.cwd(),
      env,
    });
    theirs.close();
    theirOrders.close();
    let last: string | undefined;
    const lines = createInterface({ input: child.stderr! });
    lines.on('line', (line) => {
      last = line;
      say(line);
    });
    const gone = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (status, signal) =>
        resolve(signal === null ? `exit status ${status}` : `killed by ${signal}`),
      );
    });
    return { connection: ours, orders, gone, lastWords: () => last, kill: () => child.kill('SIGKILL') };
  },
};
