import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onReadable, type Subscription } from '../../base/readable.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { MessageStream } from '../../jail/message-stream.ts';
import type { DeviceDescriptors, StartOrder } from '../../jail/start-order.ts';
import type { ZygoteOrder, ZygoteReport } from '../../jail/zygote-messages.ts';
import { deviceEnvironment, type JailedProcess, NODE_FLAGS } from './jailed-process.ts';

const PROGRAM = fileURLToPath(new URL('./zygote-entry.js', import.meta.url));

/** A zygote, as the process that has started it sees it. */
export class ZygoteProcess {
  readonly #stream: MessageStream<ZygoteOrder, ZygoteReport>;
  readonly #subscription: Subscription;
  readonly #waiting = new Map<number, (how: string) => void>();
  readonly #fitness = Promise.withResolvers<boolean>();
  readonly #over = Promise.withResolvers<void>();
  #lastId = 0;
  #isGone = false;

  /** `program` is the file to run. */
  constructor(program = PROGRAM) {
    const [ours, theirs] = streamPair();
    this.#stream = new MessageStream(ours);
    const child = spawn(process.execPath, [...NODE_FLAGS, program], {
      stdio: ['ignore', 'ignore', 'inherit', theirs.fd],
      // What a terminal sends to the VMM is not to reach it.
      detached: true,
      env: deviceEnvironment(),
    });
    // That it could not be started, its connection tells, too.
    child.once('error', () => {});
    theirs.close();
    this.#subscription = onReadable(ours.fd, () => this.#receive());
  }

  /** It has ended, and all its devices with it. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Settles when it is known whether it can fork on this host. */
  get isFit(): Promise<boolean> {
    return this.#fitness.promise;
  }

  /** `fds` stay the caller's. */
  start(order: StartOrder, fds: DeviceDescriptors): JailedProcess {
    const id = ++this.#lastId;
    const ended = new Promise<string>((resolve) => this.#waiting.set(id, resolve));
    this.#send({ kind: 'start', id, ...order }, fds);
    return { ended, kill: () => this.#send({ kind: 'kill', id }) };
  }

  /** It ends when its devices have ended; it gives them some seconds. Settles when it is gone. */
  close(): Promise<void> {
    if (!this.#isGone) this.#stream.connection.endWriting();
    return this.#over.promise;
  }

  #send(order: ZygoteOrder, fds: readonly number[] = []): void {
    try {
      if (!this.#isGone) this.#stream.send(order, fds);
    } catch {
      this.#end();
    }
  }

  #receive(): void {
    if (this.#isGone) return;
    const received = this.#stream.receive();
    if (received === undefined) this.#end();
    for (const { message } of received ?? []) {
      if (message.kind === 'fit') {
        this.#fitness.resolve(true);
        continue;
      }
      this.#waiting.get(message.id)?.(message.how);
      this.#waiting.delete(message.id);
    }
  }

  #end(): void {
    this.#isGone = true;
    this.#subscription.close();
    this.#stream.connection.close();
    this.#fitness.resolve(false);
    for (const settle of this.#waiting.values()) settle('its zygote has ended');
    this.#waiting.clear();
    this.#over.resolve();
  }
}
