/**
 * A device process that is started as a program of its own, where a zygote cannot fork it. It is in the same jail: programs of
 * util-linux make its namespaces and take its capabilities (spawn-command.ts); when it has loaded its code, which takes the
 * files of the host, another program changes the root under it; the rest it does itself.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { closeAll, dup, write } from '../../base/fd.ts';
import { type ProcessEnd, SIGKILL, signalProcess } from '../../base/process.ts';
import { onReadable, type Subscription } from '../../base/readable.ts';
import { waitingSystemCall } from '../../base/seccomp.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import { endWords, refusedWords } from '../../jail/end-words.ts';
import { jailRefused, receiveListener } from '../../jail/enter-jail.ts';
import { MessageStream } from '../../jail/message-stream.ts';
import type { PreparedReport, RootJob, SpawnOrder, SpawnReport } from '../../jail/spawn-messages.ts';
import type { DeviceDescriptors, StartOrder } from '../../jail/start-order.ts';
import { deviceEnvironment, type JailedProcess, NODE_FLAGS } from './jailed-process.ts';
import { settleSpawned, spawnWords } from './spawn-command.ts';

const PROGRAM = fileURLToPath(new URL('./spawned-entry.js', import.meta.url));

/** `fds` stay the caller's. `program` is the one that becomes the device. */
export function spawnDevice(order: StartOrder, fds: DeviceDescriptors, program = PROGRAM): JailedProcess {
  const [ours, theirs] = streamPair();
  const [messages, ...others] = fds;
  const child = spawn('setpriv', spawnWords(order.spec, [...NODE_FLAGS, program, `${fds.length}`]), {
    stdio: ['ignore', 'pipe', messages, 'pipe', theirs.fd, ...others],
    // What a terminal sends to the VMM is not to reach it.
    detached: true,
    env: deviceEnvironment(),
  });
  theirs.close();
  return new SpawnedDevice(child, order, dup(messages), ours);
}

function whyNotSpawned({ code, message }: NodeJS.ErrnoException): string {
  return code === 'ENOENT' ? 'the programs setpriv and unshare are needed (package util-linux)' : message;
}

class SpawnedDevice implements JailedProcess {
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #order: StartOrder;
  /** Where the device's messages go. */
  readonly #messages: number;
  readonly #connection: StreamConnection;
  readonly #stream: MessageStream<SpawnOrder, SpawnReport>;
  #subscription: Subscription | undefined;
  #state: 'starting' | 'preparing' | 'entering' | 'inside' = 'starting';
  /** Of the device itself, on the host. */
  #pid: number | undefined;
  #listener: number | undefined;
  /** The system call that its policy refused. */
  #refused: number | undefined;

  constructor(child: ChildProcess, order: StartOrder, messages: number, connection: StreamConnection) {
    this.#child = child;
    this.#order = order;
    this.#messages = messages;
    this.#connection = connection;
    this.#stream = new MessageStream(connection);
    this.ended = this.#end();
    this.#send({ kind: 'start', order });
    this.#subscription = onReadable(connection.fd, () => this.#receive());
    // Where descriptors ran out, there are no pipes, and the end is told of later.
    if (!child.stdout) return;
    createInterface({ input: child.stdout }).on('line', (line) => this.#hear(line));
    // Of an end before it was told anything we hear, too.
    this.#orders.on('error', () => {});
  }

  kill(): void {
    if (this.#pid !== undefined) signalProcess(this.#pid, SIGKILL);
    this.#child.kill('SIGKILL');
  }

  async #end(): Promise<string> {
    const end = await new Promise<ProcessEnd | Error>((resolve) => {
      this.#child.once('error', resolve);
      // When all is heard, too.
      this.#child.once('close', (status, signal) => {
        resolve(signal === null ? { exitStatus: status! } : { signal: constants.signals[signal] });
      });
    });
    if (end instanceof Error) this.#say(whyNotSpawned(end));
    else if (this.#pid === undefined) this.#say(jailRefused('unshare: no namespaces could be made'));
    this.#subscription?.close();
    this.#connection.close();
    closeAll([this.#messages, ...(this.#listener === undefined ? [] : [this.#listener])]);
    if (this.#refused !== undefined) return refusedWords(this.#refused);
    return end instanceof Error ? 'it was not started' : endWords(end);
  }

  #send(order: SpawnOrder, fds: readonly number[] = []): void {
    try {
      this.#stream.send(order, fds);
    } catch {
      // It has ended already, of which we hear.
    }
  }

  #say(reason: string): void {
    write(this.#messages, new TextEncoder().encode(`crosvm: ${this.#order.name}: ${reason}\n`));
  }

  #receive(): void {
    if (this.#state === 'inside') {
      this.#takeListener();
      return;
    }
    const received = this.#stream.receive();
    if (received === undefined) this.#subscription?.close();
    for (const { message, fds } of received ?? []) {
      if (message.kind === 'started') this.#state = 'preparing';
      else if (message.kind === 'prepared') this.#changeRoot(message);
      else this.#letIn(fds);
    }
  }

  /** What is printed by the programs around the device: its number; then, if its root cannot be changed, why. */
  #hear(line: string): void {
    try {
      if (this.#pid === undefined) {
        this.#settle(Number(line));
        return;
      }
      this.#say(line);
    } catch (error) {
      this.#say((error as Error).message);
    }
    this.kill();
  }

  #settle(pid: number): void {
    this.#pid = pid;
    this.#tell(`${settleSpawned(pid, this.#order.spec)}\n`);
  }

  /** Has the root changed under it. From then on it is not trusted. */
  #changeRoot({ folders, share }: PreparedReport): void {
    this.#state = 'entering';
    const job = { root: this.#order.jail.root, folders, share, pid: this.#pid! } satisfies RootJob;
    this.#tell(`${JSON.stringify(job)}\n`);
  }

  /** The programs that come before the device. */
  #tell(line: string): void {
    this.#orders.write(line);
  }

  get #orders(): Writable {
    return this.#child.stdio[3] as Writable;
  }

  /** `fds` come along. */
  #letIn(fds: readonly number[]): void {
    this.#state = 'inside';
    this.#send({ kind: 'enter' }, fds);
    closeAll(fds);
  }

  #takeListener(): void {
    this.#subscription!.close();
    const listener = receiveListener(this.#connection);
    if (listener === undefined) return;
    this.#listener = listener;
    this.#subscription = onReadable(listener, () => {
      this.#subscription!.close();
      this.#refused = waitingSystemCall(listener);
      // Undefined when the process has ended by itself.
      if (this.#refused !== undefined) this.kill();
    });
  }
}
