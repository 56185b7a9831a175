import { close } from '../../base/fd.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import { userNetwork } from '../../device-process/user-network.ts';
import { ConsoleHost } from './console-host.ts';
import { OwnBalloon } from './own-balloon.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';
import { OwnDisk } from './own-disk.ts';
import { OwnTap } from './own-tap.ts';
import type { DeviceSource } from './plan.ts';

export type OwnSource = Exclude<DeviceSource, { kind: 'socket' }>;

/** Throws `E_SERIAL` for a console whose output cannot be opened, `E_TAP`. */
export function createOwnDevice(source: OwnSource): OwnDevice {
  switch (source.kind) {
    case 'console':
      return new ConsoleHost(source.port);
    case 'user-network':
      return { give: () => giveUserNetwork(source), close() {} };
    case 'own':
      return createOfSpec(source.spec);
  }
}

function createOfSpec(spec: DeviceSpec): OwnDevice {
  switch (spec.type) {
    case 'block':
      return new OwnDisk(spec);
    case 'net':
      return new OwnTap(spec);
    case 'balloon':
      return new OwnBalloon(spec);
    default:
      return { give: async () => keeping(spec), close() {} };
  }
}

/** A network card whose wire is made whenever it is started. Nobody but its process is to hold that. */
async function giveUserNetwork({ card, forwards }: Extract<OwnSource, { kind: 'user-network' }>): Promise<GivenSpec> {
  const { spec, wire } = await userNetwork(card, forwards);
  return { spec, [Symbol.dispose]: () => close(wire) };
}
