/** Devices of tests and benchmarks, without a VM. */
import { type StreamConnection, streamPair } from '../../../base/unix-stream.ts';
import type { DeviceSpec } from '../../../device-process/device-spec.ts';
import { greetBackEnd } from '../connect-device.ts';
import type { DeviceLauncher, LaunchedDevice } from '../launcher.ts';

export interface ConnectedDevice extends LaunchedDevice {
  /** The front end's end. */
  readonly connection: StreamConnection;
}

/** Starts a device, and does not wait for anything. */
export function launchDevice(
  launcher: DeviceLauncher,
  spec: DeviceSpec,
  say: (line: string) => void = () => {},
): ConnectedDevice {
  const [connection, frontEnd] = streamPair();
  try {
    return { ...launcher.launch('the device', spec, frontEnd.fd, say), connection };
  } finally {
    frontEnd.close();
  }
}

/** Waits until it has entered its jail and answers. Throws if it does not come to that. */
export async function untilItAnswers({ connection }: ConnectedDevice): Promise<void> {
  (await greetBackEnd(connection, 'rng')).requests.close();
}

/** Ends it as its front end does; how it has ended. */
export async function endDevice({ connection, orders, gone }: ConnectedDevice): Promise<string> {
  connection.close();
  orders.close();
  return await gone;
}
