/** A device process that shares a folder, without a guest: its requests come from a driver of the test's. */
import { type ChildProcess, spawn } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fuseClientOver, notifiedDriverOver } from '../bench/fuse-driver.ts';
import { streamPair } from '../src/base/unix-stream.ts';
import type { FuseClient } from '../src/fuse/testing/fuse-client.ts';
import { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { handshake } from '../src/vhost-user/front-end/handshake.ts';
import { MessageChannel } from '../src/vhost-user/message-channel.ts';
import { CROSVM } from './linux-guest.ts';

const TIMEOUT_MS = 60_000;

/** Both ways to start device processes: what is in the environment. */
export const WAYS = { forked: {}, spawned: { CROSVM_SPAWN_DEVICES: '1' } };

export interface FolderDevice {
  readonly client: FuseClient;
  /** Waits for the next notification, of a `notified` one. */
  notification(): Uint8Array | undefined;
  /** The process that runs it. */
  readonly pid: number;
  /** Ends it; what it has said. */
  end(): Promise<string>;
}

export interface FolderDeviceOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** The driver knows notifications. */
  readonly notified?: boolean;
  /** Who runs it, and his group. */
  readonly user?: number;
  /** A command that starts its arguments. */
  readonly around?: readonly string[];
}

/** Starts one; `cfg` says how the folder is shared. Throws what it says if it does not come up. */
export async function startFolderDevice(
  share: string,
  cfg: string,
  { env = {}, notified = false, user, around = [] }: FolderDeviceOptions = {},
): Promise<FolderDevice> {
  const [connection, theirs] = streamPair();
  const device = ['device', 'fs', '--shared-dir', share, '--tag', 'share', '--cfg', cfg, '--fd', '3'];
  const [program, ...words] = [...around, process.execPath, CROSVM, ...device];
  const child: ChildProcess = spawn(program!, words, {
    stdio: ['ignore', 'ignore', 'pipe', theirs.fd],
    env: { ...process.env, ...env },
    timeout: TIMEOUT_MS,
    ...(user === undefined ? {} : { uid: user, gid: user }),
  });
  theirs.close();
  const said = text(child.stderr!);
  const [requests, itsRequests] = streamPair();
  const end = async () => {
    requests.close();
    connection.close();
    return await said;
  };
  try {
    const frontEnd = new FrontEnd(new MessageChannel(connection, TIMEOUT_MS));
    await handshake(frontEnd, { backEndChannel: itsRequests.fd, comesUp: async () => {}, sharesMemory: false });
    const driver = notified
      ? notifiedDriverOver(frontEnd)
      : { client: fuseClientOver(frontEnd), notification: () => undefined };
    driver.client.init();
    return { ...driver, pid: child.pid!, end };
  } catch {
    throw new Error(await end());
  } finally {
    itsRequests.close();
  }
}

/** /proc/PID/task/TID/status of all threads of the device whose root is a folder. */
export function threadStatuses(share: string): string[] {
  const { ino, dev } = lstatSync(share);
  const isIn = (pid: string) => {
    try {
      const root = lstatSync(`/proc/${pid}/root/.`);
      return root.ino === ino && root.dev === dev;
    } catch {
      return false; // it has ended
    }
  };
  return (
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && isIn(name))
      .flatMap((pid) => readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}/status`))
      .map((path) => readFileSync(path, 'utf8'))
      // The device is the first of its namespace; its parent is outside.
      .filter((status) => /^NStgid:.*\t1$/m.test(status))
  );
}
