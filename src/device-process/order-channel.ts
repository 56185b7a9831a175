import { EPOLLIN } from '../base/epoll.ts';
import type { EventLoop } from '../base/event-loop.ts';
import type { PacketConnection } from '../base/unix-socket.ts';
import { CrosvmError } from '../errors.ts';
import { type DeviceAnswer, type DeviceOrder, encodeAnswer, parseOrder } from './device-orders.ts';
import type { OrderHandlers } from './made-device.ts';

const COMMON: OrderHandlers = { beThere: (_, answer) => answer({ kind: 'done' }) };

/** Takes orders at one end of a connection, in a device's loop, until the other end goes away. */
export function takeOrders(loop: EventLoop, connection: PacketConnection, handlers: OrderHandlers): void {
  const end = () => {
    loop.unwatch(connection.fd);
    connection.close();
  };
  const answer = (what: DeviceAnswer) => {
    try {
      connection.send(encodeAnswer(what));
    } catch {
      end();
    }
  };
  loop.watch(connection.fd, EPOLLIN, () => {
    try {
      const packet = connection.receive(0);
      if (packet === undefined) end();
      else obey({ ...COMMON, ...handlers }, parseOrder(packet), answer);
    } catch (error) {
      if (!(error instanceof CrosvmError)) throw error;
      answer({ kind: 'failed', message: error.message });
    }
  });
}

/** Throws `E_DEVICE_ORDER` for an order that the device does not know. */
function obey(handlers: OrderHandlers, order: DeviceOrder, answer: (answer: DeviceAnswer) => void): void {
  const handler = handlers[order.kind] as ((order: DeviceOrder, answer: (a: DeviceAnswer) => void) => void) | undefined;
  if (handler === undefined) throw new CrosvmError('E_DEVICE_ORDER', `the device knows no order ${order.kind}`);
  handler(order, answer);
}
