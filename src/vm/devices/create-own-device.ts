import { resolve } from 'node:path';
import { openConsoleInput, openConsoleOutput } from '../../base/console-files.ts';
import { close } from '../../base/fd.ts';
import { StreamListener } from '../../base/unix-stream.ts';
import { userNetwork } from '../../device-process/user-network.ts';
import { ConsoleHost } from './console-host.ts';
import { OwnBalloon } from './own-balloon.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';
import { OwnDisk } from './own-disk.ts';
import type { ConsoleFilePort, OwnSource, VsockSource } from './own-source.ts';
import { OwnTap } from './own-tap.ts';

/** Takes what a device of ours keeps from start to start. Throws `E_SERIAL`, `E_TAP`, `E_SOCKET_PATH`, `E_SOCKET_IN_USE`. */
export function createOwnDevice(source: OwnSource): OwnDevice {
  switch (source.kind) {
    case 'plain':
      return { give: async () => keeping(source.spec), close() {} };
    case 'balloon':
      return new OwnBalloon(source.spec);
    case 'disk':
      return new OwnDisk(source.disk);
    case 'console':
      return new ConsoleHost(source.port);
    case 'console-files':
      return ownConsole(source.ports);
    case 'tap':
      return new OwnTap(source);
    case 'user-network':
      return { give: () => giveUserNetwork(source), close() {} };
    case 'vsock':
      return ownVsock(source);
  }
}

function ownConsole(ports: readonly ConsoleFilePort[]): OwnDevice {
  using opening = new DisposableStack();
  const opened = ports.map(({ name, isConsole, input, output }) => ({
    name,
    isConsole,
    input: input === undefined ? undefined : { fd: opening.adopt(openConsoleInput(input), close) },
    output:
      output === undefined
        ? undefined
        : { kind: 'stream' as const, fd: opening.adopt(openConsoleOutput(output), close) },
  }));
  const resources = opening.move();
  return { give: async () => keeping({ type: 'console', ports: opened }), close: () => resources.dispose() };
}

/** A network card whose wire is made whenever it is started. Nobody but its process is to hold that. */
async function giveUserNetwork({ card, forwards }: Extract<OwnSource, { kind: 'user-network' }>): Promise<GivenSpec> {
  const { spec, wire } = await userNetwork(card, forwards);
  return { spec, [Symbol.dispose]: () => close(wire) };
}

/** Who connects while the device is started again waits. */
function ownVsock({ cid, path }: VsockSource): OwnDevice {
  const listener = new StreamListener(resolve(path));
  const spec = { type: 'vsock' as const, cid, path: listener.path, listener: { fd: listener.fd } };
  return { give: async () => keeping(spec), close: () => listener.close() };
}
