import { closeAll } from '../base/fd.ts';
import type { StreamConnection } from '../base/unix-stream.ts';
import {
  decodeHeader,
  encodeMessage,
  HEADER_SIZE,
  MAX_MESSAGE_DESCRIPTORS,
  MAX_PAYLOAD,
  type Message,
  protocolError,
} from './protocol/message.ts';

/**
 * Whole messages over a stream. What arrives is put together as it comes, so that a peer that sends half of a message
 * makes nobody wait who does not want to.
 */
export class MessageChannel {
  readonly fd: number;
  readonly #stream: StreamConnection;
  readonly #timeout: number;
  /** When nothing is waited for any more, by performance.now(). */
  #deadline = Number.POSITIVE_INFINITY;
  readonly #buffer = new Uint8Array(HEADER_SIZE + MAX_PAYLOAD);
  #filled = 0;
  #fds: number[] = [];

  /** The stream is the channel's to close. `timeout`: how long a peer may leave us waiting, in ms. */
  constructor(stream: StreamConnection, timeout: number) {
    this.fd = stream.fd;
    this.#stream = stream;
    this.#timeout = timeout;
  }

  /** Sends a message; `flags` are FLAG_ bits, `fds` stay the caller's. Throws `E_SOCKET_TIMEOUT`, `SystemError`. */
  send(request: number, flags: number, payload: Uint8Array, fds: readonly number[] = []): void {
    this.#stream.send(encodeMessage(request, flags, payload), fds, this.#patience);
  }

  /**
   * The next message if all of it is here, 'incomplete' if not, undefined at the end of the connection. Throws
   * `E_VHOST_USER` when the peer breaks the rules; close the channel then.
   */
  receive(): Message | 'incomplete' | undefined {
    for (;;) {
      const size = this.#wanted();
      if (this.#filled === size) return this.#take();
      const n = this.#stream.receive(this.#buffer, this.#filled, size - this.#filled, this.#fds);
      if (n === -1) return 'incomplete';
      if (n === 0 && this.#filled === 0) return undefined;
      if (n === 0) throw protocolError('the connection ended in the middle of a message');
      this.#filled += n;
      if (this.#fds.length > MAX_MESSAGE_DESCRIPTORS) {
        throw protocolError(`more than ${MAX_MESSAGE_DESCRIPTORS} descriptors came with a message`);
      }
    }
  }

  /** However often it keeps us waiting, from now on the peer has so many milliseconds, all in all. */
  limit(milliseconds: number): void {
    this.#deadline = performance.now() + milliseconds;
  }

  /** Waits for the next message. Undefined at the end of the connection. Throws when the time limit has passed. */
  receiveNext(): Message | undefined {
    const patience = this.#patience;
    const end = performance.now() + patience;
    for (;;) {
      const message = this.receive();
      if (message !== 'incomplete') return message;
      if (!this.#stream.waitReadable(Math.max(0, Math.ceil(end - performance.now())))) {
        throw protocolError(`no whole message has come within ${patience} ms`);
      }
    }
  }

  /** Drops what has come of a message: nobody waits for the rest any more. The stream stays. */
  abandon(): void {
    closeAll(this.#fds);
    this.#fds = [];
    this.#filled = 0;
  }

  close(): void {
    this.abandon();
    this.#stream.close();
  }

  /** How long a wait that starts now may take, in ms. */
  get #patience(): number {
    return Math.max(0, Math.ceil(Math.min(this.#timeout, this.#deadline - performance.now())));
  }

  /** How many bytes there must be before the next step: a header, then all of the message. */
  #wanted(): number {
    return this.#filled < HEADER_SIZE ? HEADER_SIZE : HEADER_SIZE + decodeHeader(this.#buffer).size;
  }

  #take(): Message {
    const { request, reply, needReply } = decodeHeader(this.#buffer);
    const message = {
      request,
      reply,
      needReply,
      payload: this.#buffer.slice(HEADER_SIZE, this.#filled),
      fds: this.#fds,
    };
    this.#filled = 0;
    this.#fds = [];
    return message;
  }
}
