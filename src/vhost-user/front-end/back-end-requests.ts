import { close } from '../../base/fd.ts';
import { onReadable, type Subscription } from '../../base/readable.ts';
import type { MessageChannel } from '../message-channel.ts';
import { FLAG_REPLY, type Message } from '../protocol/message.ts';
import { u64 } from '../protocol/payloads.ts';
import { backEndRequests } from '../protocol/requests.ts';

const DONE = 0n;
const UNKNOWN = 1n;

/**
 * Takes what a back end asks of us, on the main event loop. It is answered before anything is done about it: a vCPU may
 * be waiting for the same back end.
 */
export function serveBackEnd(channel: MessageChannel, onConfigChange: () => void): Subscription {
  const subscription = onReadable(channel.fd, () => {
    try {
      // One at a time: there may always be another one, and the event loop has more to do.
      const message = channel.receive();
      if (message === undefined) subscription.close();
      else if (message !== 'incomplete') serve(channel, message, onConfigChange);
    } catch {
      // Whoever breaks the rules here is not listened to any more.
      subscription.close();
    }
  });
  return subscription;
}

function serve(channel: MessageChannel, { request, needReply, fds }: Message, onConfigChange: () => void): void {
  for (const fd of fds) close(fd);
  const isKnown = request === backEndRequests.CONFIG_CHANGE_MSG.id;
  if (needReply) channel.send(request, FLAG_REPLY, u64.encode(isKnown ? DONE : UNKNOWN));
  if (isKnown) onConfigChange();
}
