/**
 * A device process that is started as a program of its own, where a zygote cannot fork it. It is in the same jail: unshare(1)
 * makes its namespaces, setpriv(1) takes its capabilities, and when it has loaded its code, which takes the files of
 * the host, another program changes the root under it (nsenter(1)); the rest it does itself. All three are of util-linux.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { closeAll, dup, write } from '../../base/fd.ts';
import { type ProcessEnd, SIGKILL, signalProcess } from '../../base/process.ts';
import { onReadable, type Subscription } from '../../base/readable.ts';
import { waitingSystemCall } from '../../base/seccomp.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import { endWords, refusedWords } from '../../jail/end-words.ts';
import { jailRefused, receiveListener } from '../../jail/enter-jail.ts';
import { MessageStream } from '../../jail/message-stream.ts';
import type { RootJob } from '../../jail/root-job.ts';
import type { PreparedReport, SpawnOrder, SpawnReport } from '../../jail/spawn-messages.ts';
import type { DeviceDescriptors, StartOrder } from '../../jail/start-order.ts';
import { deviceEnvironment, type JailedProcess, NODE_FLAGS } from './jailed-process.ts';

const PROGRAM = fileURLToPath(new URL('./spawned-entry.js', import.meta.url));
const ROOT_PROGRAM = fileURLToPath(new URL('./root-entry.js', import.meta.url));

/** It ends with who has started it. */
const TIED = ['--pdeathsig', 'KILL', 'unshare', '--kill-child', '--fork', '--user', '--map-root-user'];
const NAMESPACES = ['--pid', '--mount', '--net', '--ipc', '--uts'];
const POWERLESS = ['--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'];

/** `fds` stay the caller's. `program` is the one that becomes the device. */
export function spawnDevice(order: StartOrder, fds: DeviceDescriptors, program = PROGRAM): JailedProcess {
  const [ours, theirs] = streamPair();
  const [messages, ...others] = fds;
  const node = [process.execPath, ...NODE_FLAGS, program, `${fds.length}`];
  const child = spawn('setpriv', [...TIED, ...NAMESPACES, 'setpriv', ...POWERLESS, '--', ...node], {
    stdio: ['ignore', 'ignore', messages, theirs.fd, ...others],
    // What a terminal sends to the VMM is not to reach it.
    detached: true,
    env: deviceEnvironment(),
  });
  theirs.close();
  return new SpawnedDevice(child, order, dup(messages), ours);
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
  }

  kill(): void {
    if (this.#pid !== undefined) signalProcess(this.#pid, SIGKILL);
    this.#child.kill('SIGKILL');
  }

  async #end(): Promise<string> {
    const end = await new Promise<ProcessEnd | Error>((resolve) => {
      this.#child.once('error', resolve);
      this.#child.once('exit', (status, signal) => {
        resolve(signal === null ? { exitStatus: status! } : { signal: constants.signals[signal] });
      });
    });
    if (end instanceof Error) this.#say('the programs setpriv, unshare and nsenter are needed (package util-linux)');
    else if (this.#state === 'starting') this.#say(jailRefused('unshare: no namespaces could be made'));
    this.#subscription?.close();
    this.#connection.close();
    closeAll([this.#messages, ...(this.#listener === undefined ? [] : [this.#listener])]);
    if (this.#refused !== undefined) return refusedWords(this.#refused);
    return end instanceof Error ? 'it was not started' : endWords(end);
  }

  #send(order: SpawnOrder): void {
    try {
      this.#stream.send(order);
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
    for (const { message } of received ?? []) {
      if (message.kind === 'started') this.#state = 'preparing';
      else void this.#letIn(message);
    }
  }

  /** Changes the root under it. From then on it is not trusted. */
  async #letIn({ pid, folders }: PreparedReport): Promise<void> {
    this.#pid = pid;
    this.#state = 'entering';
    const job = JSON.stringify({ root: this.#order.jail.root, folders } satisfies RootJob);
    const target = ['--target', `${pid}`, '--user', '--mount', '--preserve-credentials', '--'];
    const child = spawn('nsenter', [...target, process.execPath, ROOT_PROGRAM, job], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: deviceEnvironment(),
    });
    const status = new Promise((resolve) => child.once('error', resolve).once('close', resolve));
    const [reason, how] = await Promise.all([text(child.stderr), status]);
    if (how === 0) {
      this.#state = 'inside';
      this.#send({ kind: 'enter' });
      return;
    }
    this.#say(reason.trim() || `nsenter: ${how}`);
    this.kill();
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
