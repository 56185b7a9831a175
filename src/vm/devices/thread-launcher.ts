import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { dup } from '../../base/fd.ts';
import { packetPair } from '../../base/unix-socket.ts';
import type { DeviceJob } from '../../device-process/entry.ts';
import { inheritedFds, withInheritedFds } from '../../device-process/inherited.ts';
import type { DeviceLauncher } from './launcher.ts';

/** Runs each device in a thread of this process: nothing protects the VMM from it. */
export const threadLauncher: DeviceLauncher = {
  inJail: false,

  launch(name, spec, frontEnd, say) {
    const [orders, theirOrders] = packetPair();
    const itsSpec = withInheritedFds(spec, inheritedFds(spec).map(dup)); // the device closes what it is given
    const job: DeviceJob = { name, spec: itsSpec, socket: dup(frontEnd), orders: theirOrders.fd };
    const program = new URL('./device-entry.js', import.meta.url);
    const worker = new Worker(program, { argv: [JSON.stringify(job)], name, stderr: true });
    let last: string | undefined;
    createInterface({ input: worker.stderr }).on('line', (line) => {
      last = line;
      say(line);
    });
    let failure: string | undefined;
    worker.on('error', (error) => {
      failure = String((error as Error).message ?? error);
    });
    const gone = new Promise<string>((resolve) => {
      worker.once('exit', (status) => resolve(failure ?? `exit status ${status}`));
    });
    // A thread that is blocked cannot be ended from outside; it ends with its connection.
    return { orders, gone, lastWords: () => last, kill: () => {} };
  },
};
