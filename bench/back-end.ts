/** Starts a vhost-user back end, of ours or another's, whose front end is this process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectStream, type StreamConnection, streamPair } from '../src/base/unix-stream.ts';
import { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { handshake } from '../src/vhost-user/front-end/handshake.ts';
import { MessageChannel } from '../src/vhost-user/message-channel.ts';

export interface StartedBackEnd {
  readonly process: ChildProcess;
  readonly frontEnd: FrontEnd;
  /** What the back end asks things at; it has to be open. */
  readonly requests: StreamConnection;
}

/** `socket`: the path of the socket that it makes. */
export async function startBackEnd(program: string, words: readonly string[], socket: string): Promise<StartedBackEnd> {
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'] });
  while (!existsSync(socket)) await sleep(20);
  const frontEnd = new FrontEnd(new MessageChannel(connectStream(socket), 5000));
  const [requests, theirs] = streamPair();
  await handshake(frontEnd, { backEndChannel: theirs.fd, comesUp: async () => {}, sharesMemory: false });
  theirs.close();
  return { process: child, frontEnd, requests };
}
