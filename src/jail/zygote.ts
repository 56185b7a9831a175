/**
 * The zygote: a process that has loaded the code of all devices and forks one process for each device that is asked for.
 * It waits for orders and for the ends of its children, and does nothing else.
 */
import { EPOLLIN } from '../base/epoll.ts';
import { EventLoop } from '../base/event-loop.ts';
import { closeAll, write } from '../base/fd.ts';
import { openPidfd, SIGKILL, signalProcess, waitForEnd } from '../base/process.ts';
import { waitingSystemCall } from '../base/seccomp.ts';
import { type StreamConnection, streamPair } from '../base/unix-stream.ts';
import type { Ids } from '../base/user-maps.ts';
import type { DeviceMaker } from '../device-process/create-device.ts';
import { type DeviceSpec, sharesFolder } from '../device-process/device-spec.ts';
import { onlyUser } from '../device-process/share-users.ts';
import { endWords, refusedWords } from './end-words.ts';
import { enterJail, forkForJail, receiveListener, settle } from './enter-jail.ts';
import { runJailedDevice, type WayIn } from './jailed-device.ts';
import type { MessageStream } from './message-stream.ts';
import type { DeviceDescriptors } from './start-order.ts';
import type { ZygoteOrder, ZygoteReport, ZygoteStartOrder } from './zygote-messages.ts';

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
  readonly #master: MessageStream<ZygoteReport, ZygoteOrder>;
  readonly #makers: ReadonlyMap<DeviceSpec['type'], DeviceMaker>;
  readonly #loop = new EventLoop();
  readonly #children = new Map<number, Child>();
  readonly #wakeFds: readonly number[];
  #isOver = false;

  /** `wakeFds` are those of `wakeDescriptors`. */
  constructor(
    master: MessageStream<ZygoteReport, ZygoteOrder>,
    makers: ReadonlyMap<DeviceSpec['type'], DeviceMaker>,
    wakeFds: readonly number[],
  ) {
    this.#master = master;
    this.#makers = makers;
    this.#wakeFds = wakeFds;
  }

  /**
   * Blocks until the other end of the master's connection is gone and the children are, or have had the time for that. When
   * the zygote ends, so do they.
   */
  run(): void {
    this.#report({ kind: 'fit' });
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
      if (message.kind === 'start') this.#start(message, fds as number[] as [number, number, number]);
      else this.#kill(message.id);
    }
  }

  #start(order: ZygoteStartOrder, fds: DeviceDescriptors): void {
    const [ours, theirs] = streamPair();
    try {
      const { pid, newcomer } = forkForJail();
      if (pid === 0) {
        const { spec } = order;
        runJailedDevice(order, this.#makers.get(spec.type)!, fds, theirs.fd, this.#wakeFds, wayOf(newcomer, spec));
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
      write(fds[0], new TextEncoder().encode(`crosvm: ${order.name}: ${(error as Error).message}\n`));
      this.#report({ kind: 'end', id: order.id, how: 'it was not started' });
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
    const listener = receiveListener(child.supervisor);
    this.#loop.unwatch(child.supervisor.fd);
    if (listener === undefined) return;
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
    this.#report({ kind: 'end', id, how: refused === undefined ? endWords(end) : refusedWords(refused) });
  }

  #report(report: ZygoteReport): void {
    try {
      this.#master.send(report);
    } catch {
      this.#isOver = true; // nobody listens any more
    }
  }
}

function wayOf(newcomer: Ids | undefined, spec: DeviceSpec): WayIn {
  return {
    begin() {
      if (newcomer !== undefined) settle(newcomer, sharesFolder(spec) ? onlyUser(spec, newcomer) : undefined);
    },
    enter: (jail, prepared, supervisor) => enterJail(jail, prepared, newcomer !== undefined, supervisor),
  };
}
