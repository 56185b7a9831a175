/**
 * A device process that is spawned, not forked: unshare(1) has started it in namespaces of its own and
 * without capabilities. Its descriptors are messages (2) and, from 3 on, a connection with the VMM and the rest of
 * `DeviceDescriptors`, whose number is its argument.
 */
import { readlinkSync } from 'node:fs';
import { exitNow, wakeDescriptors } from '../base/process.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import { loadDeviceMaker } from '../device-process/create-device.ts';
import { CrosvmError } from '../errors.ts';
import { enterJailAtRoot } from './enter-jail.ts';
import { runJailedDevice, type WayIn } from './jailed-device.ts';
import { MessageStream } from './message-stream.ts';
import type { SpawnOrder, SpawnReport } from './spawn-messages.ts';

const MESSAGES = 2;
const MASTER = 3;

/** It takes capabilities, which a process that is spawned does not have. */
const NO_SHARE = 'where device processes cannot be forked, no folder can be shared from a jail: use --disable-sandbox';

type Master = MessageStream<SpawnReport, SpawnOrder>;

/** Runs the device that the VMM orders, to its end. */
export async function runSpawnedDevice(load = loadDeviceMaker): Promise<void> {
  const [, ...others] = Array.from({ length: Number(process.argv[2]) }, (_, i) => MASTER + i);
  const first: Master = new MessageStream(new StreamConnection(MASTER));
  first.send({ kind: 'started' });
  const told = nextOrder(first);
  if (told.kind !== 'start') return;
  const fds = [MESSAGES, ...others] as number[] as [number, number, number];
  const way: WayIn = {
    begin() {},
    enter(jail, { folders = [], share }, connection) {
      if (share !== undefined) throw new CrosvmError('E_JAIL', NO_SHARE);
      const master: Master = new MessageStream(connection);
      master.send({ kind: 'prepared', pid: Number(readlinkSync('/proc/self')), folders });
      nextOrder(master);
      enterJailAtRoot(jail, connection);
    },
  };
  runJailedDevice(told.order, await load(told.order.spec.type), fds, MASTER, wakeDescriptors(), way);
}

/** Waits for it. Ends the process if nobody will give one. */
function nextOrder(master: Master): SpawnOrder {
  for (;;) {
    master.connection.waitReadable(-1);
    const received = master.receive();
    if (received === undefined) exitNow(1);
    if (received.length > 0) return received[0]!.message;
  }
}
