import type { StreamConnection } from '../base/unix-stream.ts';

/** Enough for any message of ours; longer ones come in pieces. */
const CHUNK = 16384;
const NEWLINE = 10;

export interface Received<T> {
  readonly message: T;
  /** They belong to the receiver. */
  readonly fds: readonly number[];
}

/** JSON values with descriptors beside them, over a connection between two programs of ours that trust each other. */
export class MessageStream<Sent, Taken> {
  readonly connection: StreamConnection;
  readonly #chunk = new Uint8Array(CHUNK);
  /** What has come of a message, and descriptors of messages that have not been taken. */
  #partial = Buffer.alloc(0);
  readonly #fds: number[] = [];

  constructor(connection: StreamConnection) {
    this.connection = connection;
  }

  /** `fds` stay the sender's. Blocks while the other end has too much to read. */
  send(message: Sent, fds: readonly number[] = []): void {
    this.connection.send(Buffer.from(`${JSON.stringify([fds.length, message])}\n`), fds);
  }

  /** What has arrived, without waiting; undefined at the end of the connection. */
  receive(): Received<Taken>[] | undefined {
    const n = this.connection.receive(this.#chunk, 0, CHUNK, this.#fds);
    if (n === 0) return undefined;
    if (n > 0) this.#partial = Buffer.concat([this.#partial, this.#chunk.subarray(0, n)]);
    const received: Received<Taken>[] = [];
    for (let end = this.#partial.indexOf(NEWLINE); end >= 0; end = this.#partial.indexOf(NEWLINE)) {
      const [count, message] = JSON.parse(this.#partial.toString('utf8', 0, end)) as [number, Taken];
      received.push({ message, fds: this.#fds.splice(0, count) });
      this.#partial = this.#partial.subarray(end + 1);
    }
    return received;
  }
}
