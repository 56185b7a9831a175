import { EPOLLIN } from '../../base/epoll.ts';
import { EventLoop } from '../../base/event-loop.ts';
import type { StreamConnection } from '../../base/unix-stream.ts';
import { CrosvmError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { VirtioDevice } from '../../virtio/device.ts';
import { MessageChannel } from '../message-channel.ts';
import { BackEnd, FRONT_END_TIMEOUT } from './back-end.ts';

/**
 * Runs a device for the front end at the other end of a connection, blocking this thread, until that goes away (true) or
 * breaks the rules (false), which is logged. The connection and the device are closed then. `prepare` may add what else
 * is to be waited for.
 */
export function serveFrontEnd(
  device: VirtioDevice,
  connection: StreamConnection,
  log: Log,
  prepare: (loop: EventLoop) => void = () => {},
): boolean {
  const loop = new EventLoop();
  prepare(loop);
  const channel = new MessageChannel(connection, FRONT_END_TIMEOUT);
  const backEnd = new BackEnd(device, channel, loop, log);
  const { runner } = backEnd;
  let isOver = false;
  // One message at a time, so that a talkative front end does not keep the device from its queues.
  loop.watch(channel.fd, EPOLLIN, () => {
    const message = channel.receive();
    if (message === undefined) isOver = true;
    else if (message !== 'incomplete') backEnd.handle(message);
  });
  try {
    while (!isOver) {
      loop.turn(runner.isBusy ? 0 : -1);
      runner.goOn();
    }
    return true;
  } catch (error) {
    if (!(error instanceof CrosvmError)) throw error;
    log('error', error.message);
    return false;
  } finally {
    backEnd.close();
    device.close();
    loop.close();
  }
}
