/**
 * The zygote: a process that has loaded the code of all devices and forks one process for each device that is asked for.
 * It waits for orders and for the ends of its children, and does nothing else.
 */
import { EPOLLIN } from '../base/epoll.ts';
import { EventLoop } from '../base/event-loop.ts';
import { closeAll } from '../base/fd.ts';
import { openPidfd, type ProcessEnd, SIGKILL, signalProcess, waitForEnd } from '../base/process.ts';
import { waitingSystemCall } from '../base/seccomp.ts';
import { signalName } from '../base/signal.ts';
import { type StreamConnection, streamPair } from '../base/unix-stream.ts';
import type { DeviceMaker } from '../device-process/create-device.ts';
import type { DeviceSpec } from '../device-process/device-spec.ts';
import { forkForJail } from './enter-jail.ts';
import { runJailedDevice } from './jailed-device.ts';
import type { MessageStream } from './message-stream.ts';
import { syscallName } from './policy/syscalls.ts';
import type { EndReport, StartOrder, ZygoteOrder } from './zygote-messages.ts';

/** How long children may go on without a master. */
const END_TIMEOUT_MS = 3_000;

interface Child {
  readonly id: number;
  readonly pid: number;
  readonly pidfd: number;
  /** Brings the listener of its filter. */
  readonly supervisor: StreamConnection;
  listener: number | undefined;
  /** The system call that its policy refused. */
  refused: number | undefined;
}

export class Zygote {
  readonly #master: MessageStream<EndReport, ZygoteOrder>;
  readonly #makers: ReadonlyMap<DeviceSpec['type'], DeviceMaker>;
  readonly #loop = new EventLoop();
  readonly #children = new Map<number, Child>();
  #isOver = false;

  constructor(master: MessageStream<EndReport, ZygoteOrder>, makers: ReadonlyMap<DeviceSpec['type'], DeviceMaker>) {
    this.#master = master;
    this.#makers = makers;
  }

  /**
   * Blocks until the other end of the master's connection is gone and the children are, or have had the time for that. When
   * the zygote ends, so do they.
   */
  run(): void {
    const { fd } = this.#master.connection;
    this.#loop.watch(fd, EPOLLIN, () => this.#takeOrders());
    while (!this.#isOver) this.#loop.turn(-1);
    this.#loop.unwatch(fd);
    const end = performance.now() + END_TIMEOUT_MS;
    while (this.#children.size > 0 && performance.now() < end) this.#loop.turn(Math.ceil(end - performance.now()));
  }

  #takeOrders(): void {
    const received = this.#master.receive();
    if (received === undefined) this.#isOver = true;
    for (const { message, fds } of received ?? []) {
      if (message.kind === 'start') this.#start(message, fds);
      else this.#kill(message.id);
    }
  }

  #start(order: StartOrder, fds: readonly number[]): void {
    const [ours, theirs] = streamPair();
    try {
      const { pid, newcomer } = forkForJail();
      if (pid === 0) {
        const [messages, frontEnd, orders, ...inherited] = fds as [number, number, number, ...number[]];
        const descriptors = { messages, frontEnd, orders, inherited, supervisor: theirs.fd };
        runJailedDevice(order, this.#makers.get(order.spec.type)!, descriptors, newcomer);
      }
      this.#watch({
        id: order.id,
        pid,
        pidfd: openPidfd(pid),
        supervisor: ours,
        listener: undefined,
        refused: undefined,
      });
    } catch (error) {
      ours.close();
      this.#report({ id: order.id, how: (error as Error).message });
    } finally {
      theirs.close();
      closeAll(fds);
    }
  }

  #kill(id: number): void {
    const child = this.#children.get(id);
    if (child !== undefined) signalProcess(child.pid, SIGKILL);
  }

  #watch(child: Child): void {
    this.#children.set(child.id, child);
    this.#loop.watch(child.pidfd, EPOLLIN, () => this.#ended(child));
    this.#loop.watch(child.supervisor.fd, EPOLLIN, () => this.#takeListener(child));
  }

  #takeListener(child: Child): void {
    const fds: number[] = [];
    const n = child.supervisor.receive(new Uint8Array(1), 0, 1, fds);
    this.#loop.unwatch(child.supervisor.fd);
    const [listener] = fds;
    if (n <= 0 || listener === undefined) return;
    child.listener = listener;
    this.#loop.watch(listener, EPOLLIN, () => this.#refuse(child, listener));
  }

  /** The child waits in a system call that its policy does not have. */
  #refuse(child: Child, listener: number): void {
    this.#loop.unwatch(listener);
    child.refused = waitingSystemCall(listener);
    signalProcess(child.pid, SIGKILL);
  }

  #ended(child: Child): void {
    const end = waitForEnd(child.pid);
    const { id, pidfd, supervisor, listener, refused } = child;
    this.#children.delete(id);
    for (const fd of [pidfd, supervisor.fd, listener]) if (fd !== undefined) this.#loop.unwatch(fd);
    closeAll([pidfd, ...(listener === undefined ? [] : [listener])]);
    supervisor.close();
    this.#report({
      id,
      how: refused === undefined ? endWords(end) : `killed for the system call ${syscallName(refused)}`,
    });
  }

  #report(report: EndReport): void {
    try {
      this.#master.send(report);
    } catch {
      this.#isOver = true; // nobody listens any more
    }
  }
}

function endWords(end: ProcessEnd): string {
  return 'exitStatus' in end ? `exit status ${end.exitStatus}` : `killed by ${signalName(end.signal)}`;
}
