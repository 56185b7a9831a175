import { PacketConnection } from '../base/unix-socket.ts';
import { type StreamConnection, StreamListener } from '../base/unix-stream.ts';
import type { Log } from '../log.ts';
import { serveFrontEnd } from '../vhost-user/back-end/serve-front-end.ts';
import { loadDeviceMaker } from './create-device.ts';
import type { DeviceSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';
import { takeOrders } from './order-channel.ts';

/** Where the front end of a device is: a connection that exists, or a path at which it will connect. */
export type FrontEndPlace = StreamConnection | { readonly socketPath: string };

/**
 * Runs a device until its front end goes away. Blocks this thread from when the front end is there. Returns whether all
 * went by the rules; what did not is logged. `ordersFd` is an open SOCK_SEQPACKET socket at which it takes orders.
 * Throws when the device cannot be made or the socket not be listened at.
 */
export async function runDevice(spec: DeviceSpec, place: FrontEndPlace, log: Log, ordersFd?: number): Promise<boolean> {
  const made = (await loadDeviceMaker(spec.type))(spec).finish();
  let connection: StreamConnection;
  try {
    connection = 'socketPath' in place ? await awaitFrontEnd(place.socketPath) : place;
  } catch (error) {
    made.device.close();
    throw error;
  }
  return serveDevice(made, connection, log, ordersFd);
}

/** The same for a device that is made, and a front end that is there. */
export function serveDevice(
  { device, orders = {} }: MadeDevice,
  connection: StreamConnection,
  log: Log,
  ordersFd?: number,
): boolean {
  const master = ordersFd === undefined ? undefined : new PacketConnection(ordersFd);
  try {
    return serveFrontEnd(device, connection, log, (loop) => master && takeOrders(loop, master, orders));
  } finally {
    master?.close();
  }
}

/** The first who connects; the socket is gone from the file system then, or when a signal ends the wait. */
async function awaitFrontEnd(path: string): Promise<StreamConnection> {
  const listener = new StreamListener(path);
  const end = (signal: NodeJS.Signals) => {
    listener.close();
    process.kill(process.pid, signal);
  };
  process.once('SIGTERM', end).once('SIGINT', end);
  try {
    return await new Promise((resolve) => listener.onConnection(resolve));
  } finally {
    // Without these, a signal ends the process by itself, also while it is blocked.
    process.off('SIGTERM', end).off('SIGINT', end);
    listener.close();
  }
}
