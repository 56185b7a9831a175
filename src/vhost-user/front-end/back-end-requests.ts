import { closeAll } from '../../base/fd.ts';
import { onReadable, type Subscription } from '../../base/readable.ts';
import { CrosvmError } from '../../errors.ts';
import type { MessageChannel } from '../message-channel.ts';
import { FLAG_REPLY, type Message, protocolError } from '../protocol/message.ts';
import { u64 } from '../protocol/payloads.ts';
import { type BackEndRequest, backEndRequestNames, backEndRequests } from '../protocol/requests.ts';
import type { SharedMemory } from './shared-memory.ts';

const DONE = 0n;
const REFUSED = 1n;

/** What is done for a back end. */
export interface BackEndServices {
  /** Its configuration is not what it was. */
  configChanged(): void;
  /** Undefined: it has none. */
  readonly sharedMemory: SharedMemory | undefined;
}

/** Takes what a back end asks of us, on the main event loop. */
export function serveBackEnd(channel: MessageChannel, services: BackEndServices): Subscription {
  const subscription = onReadable(channel.fd, () => {
    try {
      // One at a time: there may always be another one, and the event loop has more to do.
      const message = channel.receive();
      if (message === undefined) subscription.close();
      else if (message !== 'incomplete') serve(channel, message, services);
    } catch {
      // Whoever breaks the rules here is not listened to any more.
      subscription.close();
    }
  });
  return subscription;
}

function serve(channel: MessageChannel, message: Message, services: BackEndServices): void {
  const { request, needReply, fds } = message;
  const name = backEndRequestNames.get(request);
  let isDone = false;
  try {
    if (name !== undefined) isDone = carryOut(name, message, services);
  } finally {
    closeAll(fds);
  }
  if (needReply) channel.send(request, FLAG_REPLY, u64.encode(isDone ? DONE : REFUSED));
  // After the answer: to read the new configuration, a vCPU waits for the same back end.
  if (name === 'CONFIG_CHANGE_MSG' && isDone) services.configChanged();
}

/** Whether it was done; throws when the message breaks the rules. */
function carryOut(name: BackEndRequest, { payload, fds }: Message, { sharedMemory }: BackEndServices): boolean {
  if (fds.length > backEndRequests[name].maxFds) throw protocolError(`${name} came with ${fds.length} descriptors`);
  switch (name) {
    case 'CONFIG_CHANGE_MSG':
      backEndRequests[name].payload.decode(payload);
      return true;
    case 'SHMEM_MAP': {
      const mapping = backEndRequests[name].payload.decode(payload);
      return change(sharedMemory, (memory) => memory.map(mapping, fds));
    }
    case 'SHMEM_UNMAP': {
      const mapping = backEndRequests[name].payload.decode(payload);
      return change(sharedMemory, (memory) => memory.unmap(mapping));
    }
  }
}

/** What is impossible is refused; the connection lives on. */
function change(memory: SharedMemory | undefined, action: (memory: SharedMemory) => void): boolean {
  if (memory === undefined) return false;
  try {
    action(memory);
    return true;
  } catch (error) {
    if (error instanceof CrosvmError) return false;
    throw error;
  }
}
