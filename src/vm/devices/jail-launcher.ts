import { closeAll, dup } from '../../base/fd.ts';
import { packetPair } from '../../base/unix-socket.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { type DeviceSpec, preferredExecutor } from '../../device-process/device-spec.ts';
import { inheritedFds } from '../../device-process/inherited.ts';
import type { JailOptions, JailSpec } from '../../jail/jail-spec.ts';
import { loadFilters } from '../../jail/load-policy.ts';
import type { DeviceDescriptors, StartOrder } from '../../jail/start-order.ts';
import { readMessages } from './device-messages.ts';
import type { JailedProcess } from './jailed-process.ts';
import type { DeviceLauncher, LaunchedDevice } from './launcher.ts';
import { spawnDevice } from './spawned-device.ts';
import { ZygoteProcess } from './zygote-process.ts';

/** Threads of a process that io_uring works for, the process included; it could not make any itself. */
const RING_THREADS = 64;

/** The files to run, if they are not the usual ones. */
export interface JailPrograms {
  readonly zygote?: string;
  readonly spawned?: string;
}

/**
 * Runs each device in a process of its own and in a jail: as a fork of a zygote that is started with the first, or, where
 * this Node cannot be forked, as a program that is spawned.
 */
export class JailLauncher implements DeviceLauncher {
  readonly inJail = true;
  readonly #options: JailOptions;
  readonly #programs: JailPrograms;
  readonly #filters = new Map<string, JailSpec['filters']>();
  #spawns: boolean;
  #zygote: ZygoteProcess | undefined;
  #isClosed = false;

  constructor(options: JailOptions, programs: JailPrograms = {}) {
    this.#options = options;
    this.#programs = programs;
    this.#spawns = options.spawns ?? false;
  }

  /** Throws `E_SECCOMP_POLICY` and `E_FILE_OPEN` for the device's policy. */
  launch(name: string, given: DeviceSpec, frontEnd: number, say: (line: string) => void): LaunchedDevice {
    const spec = this.#settled(given);
    const jail = this.#jailOf(spec);
    const [orders, theirOrders] = packetPair();
    const [messages, theirMessages] = streamPair();
    const fds = [theirMessages.fd, frontEnd, theirOrders.fd, ...inheritedFds(spec)] as const;
    const device = this.#start({ name, spec, jail }, fds, say);
    for (const theirs of [theirOrders, theirMessages]) theirs.close();
    let last: string | undefined;
    const saidAll = readMessages(messages.fd, (line) => {
      last = line;
      say(line);
    });
    const gone = Promise.all([device.ended, saidAll]).then(([how]) => how);
    return { orders, gone, lastWords: () => last, kill: () => device.kill() };
  }

  /**
   * No device is launched any more; the zygote ends when those that were are gone, or are late with that. Settles when
   * nothing is left of it.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#zygote?.close();
  }

  #start(order: StartOrder, fds: DeviceDescriptors, say: (line: string) => void): JailedProcess {
    if (this.#spawns) return spawnDevice(order, fds, this.#programs.spawned);
    if (this.#zygote === undefined || this.#zygote.isGone) this.#zygote = new ZygoteProcess(this.#programs.zygote);
    const zygote = this.#zygote;
    let current = zygote.start(order, fds);
    // For the case that the zygote cannot.
    const spare = fds.map(dup) as number[] as [number, number, number];
    const ended = zygote.isFit.then((isFit) => {
      if (!isFit && !this.#isClosed) {
        say(`crosvm: ${order.name}: debug: this Node cannot be forked, so a process is spawned`);
        this.#spawns = true;
        current = spawnDevice(order, spare, this.#programs.spawned);
      }
      closeAll(spare);
      return current.ended;
    });
    return { ended, kill: () => current.kill() };
  }

  /** Policies of the user's need know of io_uring only if the user asked for it. */
  #settled(spec: DeviceSpec): DeviceSpec {
    if (spec.type !== 'block' || this.#options.policyFolder === undefined) return spec;
    return { ...spec, executor: spec.executor ?? 'epoll' };
  }

  #jailOf(spec: DeviceSpec): JailSpec {
    const hasRing = spec.type === 'block' && preferredExecutor(spec) === 'uring';
    return {
      filters: this.#filtersOf(hasRing ? 'block_uring' : spec.type),
      root: this.#options.root,
      threads: hasRing ? RING_THREADS : 0,
    };
  }

  #filtersOf(policy: string): JailSpec['filters'] {
    const filters = this.#filters.get(policy) ?? loadFilters(policy, this.#options);
    this.#filters.set(policy, filters);
    return filters;
  }
}
