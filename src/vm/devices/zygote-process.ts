import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onReadable, type Subscription } from '../../base/readable.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { MessageStream } from '../../jail/message-stream.ts';
import type { EndReport, StartOrder, ZygoteOrder } from '../../jail/zygote-messages.ts';

const PROGRAM = fileURLToPath(new URL('./zygote-entry.js', import.meta.url));

/** A fork has one thread, so V8 is to need no others; and what it collects garbage with is to be small. */
const FLAGS = ['--single-threaded', '--v8-pool-size=0', '--max-semi-space-size=1'];

const ENVIRONMENT = ['TMPDIR', 'NODE_COMPILE_CACHE'];

/** A zygote, as the process that has started it sees it. */
export class ZygoteProcess {
  readonly #stream: MessageStream<ZygoteOrder, EndReport>;
  readonly #subscription: Subscription;
  readonly #waiting = new Map<number, (how: string) => void>();
  #lastId = 0;
  #isGone = false;

  /** `program` is the file to run. */
  constructor(program = PROGRAM) {
    const [ours, theirs] = streamPair();
    this.#stream = new MessageStream(ours);
    const child = spawn(process.execPath, [...FLAGS, program], {
      stdio: ['ignore', 'ignore', 'inherit', theirs.fd],
      // What a terminal sends to the VMM is not to reach it.
      detached: true,
      // Where compiled code is kept; what else there is may be secret, and is nothing to a device.
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => ENVIRONMENT.includes(name))),
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

  /** `fds` are as `StartOrder` says. `ended` settles when the process is gone, with how that was. */
  start(order: Omit<StartOrder, 'kind' | 'id'>, fds: readonly number[]): { id: number; ended: Promise<string> } {
    const id = ++this.#lastId;
    const ended = new Promise<string>((resolve) => this.#waiting.set(id, resolve));
    this.#send({ kind: 'start', id, ...order }, fds);
    return { id, ended };
  }

  kill(id: number): void {
    this.#send({ kind: 'kill', id });
  }

  /** It ends when its devices have ended; it gives them some seconds. */
  close(): void {
    if (!this.#isGone) this.#stream.connection.endWriting();
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
      this.#waiting.get(message.id)?.(message.how);
      this.#waiting.delete(message.id);
    }
  }

  #end(): void {
    this.#isGone = true;
    this.#subscription.close();
    this.#stream.connection.close();
    for (const settle of this.#waiting.values()) settle('its zygote has ended');
    this.#waiting.clear();
  }
}
