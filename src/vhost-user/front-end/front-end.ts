import { closeAll } from '../../base/fd.ts';
import { CrosvmError } from '../../errors.ts';
import type { MessageChannel } from '../message-channel.ts';
import { VHOST_USER_PROTOCOL_F_REPLY_ACK } from '../protocol/features.ts';
import { FLAG_NEED_REPLY, type Message, protocolError } from '../protocol/message.ts';
import { u64 } from '../protocol/payloads.ts';
import {
  type FrontEndRequest,
  type FrontEndRequests,
  frontEndRequests,
  type PayloadOf,
  type ReplyOf,
  type RequestType,
} from '../protocol/requests.ts';

/**
 * The VMM's end of a vhost-user connection: sends requests and waits for their answers. Threads may have one each over
 * the same socket if they take turns.
 */
export class FrontEnd {
  /** Protocol features that were negotiated: a mask of the bits 0-31. */
  protocolFeatures: number;
  readonly #channel: MessageChannel;

  constructor(channel: MessageChannel, protocolFeatures = 0) {
    this.#channel = channel;
    this.protocolFeatures = protocolFeatures;
  }

  has(protocolFeature: number): boolean {
    return ((this.protocolFeatures >>> protocolFeature) & 1) !== 0;
  }

  /**
   * Sends a request, and returns the answer if it has one. With REPLY_ACK every request is answered: `E_VHOST_REFUSED` is
   * thrown for one that the back end did not carry out. All other errors mean that the connection is of no use any more:
   * the back end breaks the protocol, is gone, or has not answered in time.
   */
  request<N extends FrontEndRequest>(
    name: N,
    payload: PayloadOf<FrontEndRequests[N]>,
    fds: readonly number[] = [],
  ): ReplyOf<FrontEndRequests[N]> {
    return this.requestWithFd(name, payload, fds).reply;
  }

  /** The same for a request whose answer may bring a descriptor, which is the caller's to close. */
  requestWithFd<N extends FrontEndRequest>(
    name: N,
    payload: PayloadOf<FrontEndRequests[N]>,
    fds: readonly number[] = [],
  ): { readonly reply: ReplyOf<FrontEndRequests[N]>; readonly fd: number | undefined } {
    this.send(name, payload, fds);
    return this.receive(name);
  }

  /** The first half of a request: what comes back is to be taken by `receive` before anything else is sent. */
  send<N extends FrontEndRequest>(name: N, payload: PayloadOf<FrontEndRequests[N]>, fds: readonly number[] = []): void {
    const type = typeOf(name);
    this.#channel.send(type.id, this.#wantsAck(type) ? FLAG_NEED_REPLY : 0, type.payload.encode(payload), fds);
  }

  /** The second half; waits for the answer if there is to be one. */
  receive<N extends FrontEndRequest>(
    name: N,
  ): { readonly reply: ReplyOf<FrontEndRequests[N]>; readonly fd: number | undefined } {
    const type = typeOf(name);
    if (!this.#wantsAck(type) && type.reply === undefined) return { reply: undefined as never, fd: undefined };
    const answer = this.#answer(name, type);
    try {
      if (type.reply !== undefined) return { reply: type.reply.decode(answer.payload) as never, fd: answer.fds[0] };
      if (u64.decode(answer.payload) !== 0n) throw new RefusedError(name);
      return { reply: undefined as never, fd: undefined };
    } catch (error) {
      closeAll(answer.fds);
      throw error;
    }
  }

  /** However many requests follow, the back end has so many milliseconds for all of them. */
  limit(milliseconds: number): void {
    this.#channel.limit(milliseconds);
  }

  /** Nobody uses the connection any more: what has come of an answer is dropped. */
  abandon(): void {
    this.#channel.abandon();
  }

  #wantsAck({ reply }: RequestType<unknown, unknown>): boolean {
    return reply === undefined && this.has(VHOST_USER_PROTOCOL_F_REPLY_ACK);
  }

  #answer(name: string, { id, maxReplyFds }: RequestType<unknown, unknown>): Message {
    const answer = this.#channel.receiveNext();
    if (answer === undefined) throw protocolError(`the back end has ended the connection instead of answering ${name}`);
    const { request, reply, fds } = answer;
    if (request === id && reply && fds.length <= maxReplyFds) return answer;
    closeAll(fds);
    if (request === id && reply) throw protocolError(`the answer to ${name} came with ${fds.length} descriptors`);
    throw protocolError(`the back end answered ${name} with something else (message ${request})`);
  }
}

/** The back end did not do what it was asked to; the connection lives on. */
export class RefusedError extends CrosvmError {
  constructor(request: string) {
    super('E_VHOST_REFUSED', `vhost-user: the back end refused ${request}`);
  }
}

function typeOf(name: FrontEndRequest): RequestType<unknown, unknown> {
  return frontEndRequests[name] as unknown as RequestType<unknown, unknown>;
}
