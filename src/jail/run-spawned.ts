/**
 * A device process that is spawned, not forked: unshare(1) has started it in namespaces of its own, and setpriv(1) with no
 * more capabilities than it is to have. Its descriptors are messages (2) and, from 4 on, a connection with the VMM and the rest of
 * `DeviceDescriptors`, whose number is its argument.
 */
import { exitNow, wakeDescriptors } from '../base/process.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import { loadDeviceMaker } from '../device-process/create-device.ts';
import type { RootOfShare } from '../device-process/made-device.ts';
import { enterJailAtRoot } from './enter-jail.ts';
import { runJailedDevice, type WayIn } from './jailed-device.ts';
import { MessageStream, type Received } from './message-stream.ts';
import type { SpawnOrder, SpawnReport } from './spawn-messages.ts';

const MESSAGES = 2;
const MASTER = 4;

type Master = MessageStream<SpawnReport, SpawnOrder>;

/** Runs the device that the VMM orders, to its end. */
export async function runSpawnedDevice(load = loadDeviceMaker): Promise<void> {
  const [, ...others] = Array.from({ length: Number(process.argv[2]) }, (_, i) => MASTER + i);
  const first: Master = new MessageStream(new StreamConnection(MASTER));
  first.send({ kind: 'started' });
  const told = nextOrder(first).message;
  if (told.kind !== 'start') return;
  const fds = [MESSAGES, ...others] as number[] as [number, number, number];
  const way: WayIn = {
    begin() {},
    enter(jail, { folders = [], share }, connection) {
      const master: Master = new MessageStream(connection);
      master.send({ kind: 'prepared', folders, share: share && rootOf(share) });
      const [descriptors] = nextOrder(master).fds;
      enterJailAtRoot(jail, share, descriptors, connection);
    },
  };
  runJailedDevice(told.order, await load(told.order.spec.type), fds, MASTER, wakeDescriptors(), way);
}

function rootOf({ path, readOnly, followsMounts }: RootOfShare): RootOfShare {
  return { path, readOnly, followsMounts };
}

/** Waits for it. Ends the process if nobody will give one. */
function nextOrder(master: Master): Received<SpawnOrder> {
  for (;;) {
    master.connection.waitReadable(-1);
    const received = master.receive();
    if (received === undefined) exitNow(1);
    if (received.length > 0) return received[0]!;
  }
}
