import { PacketConnection } from '../base/unix-socket.ts';
import type { StreamConnection } from '../base/unix-stream.ts';
import type { Log } from '../log.ts';
import { serveFrontEnd } from '../vhost-user/back-end/serve-front-end.ts';
import type { MadeDevice } from './made-device.ts';
import { takeOrders } from './order-channel.ts';

/**
 * Runs a device until its front end goes away. Blocks this thread. Returns whether all went by the rules; what did not is
 * logged. `ordersFd` is an open SOCK_SEQPACKET socket at which it takes orders.
 */
export function runDevice(
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
