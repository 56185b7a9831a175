/**
 * Changes the root of the processes in the mount namespace that it is started in, with all rights there. Its argument is a
 * `RootJob` as JSON; the descriptor 4 is the connection with the VMM. Why it cannot, it prints.
 */
import { close } from '../base/fd.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import { changeRoot, explained, shareRoot } from './enter-jail.ts';
import { MessageStream } from './message-stream.ts';
import type { RootJob, SpawnReport } from './spawn-messages.ts';

const MASTER = 4;

const { root, folders, share, pid } = JSON.parse(process.argv[2]!) as RootJob;
const master = new MessageStream<SpawnReport, never>(new StreamConnection(MASTER));
try {
  explained(() => {
    if (share === undefined) {
      changeRoot(root, folders);
      master.send({ kind: 'rooted' });
      return;
    }
    const descriptors = shareRoot(share, pid);
    master.send({ kind: 'rooted' }, [descriptors]);
    close(descriptors);
  });
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
}
