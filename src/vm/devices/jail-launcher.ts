import { packetPair } from '../../base/unix-socket.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { type DeviceSpec, preferredExecutor } from '../../device-process/device-spec.ts';
import { inheritedFds } from '../../device-process/inherited.ts';
import type { JailOptions, JailSpec } from '../../jail/jail-spec.ts';
import { loadFilters } from '../../jail/load-policy.ts';
import { readMessages } from './device-messages.ts';
import type { DeviceLauncher, LaunchedDevice } from './launcher.ts';
import { ZygoteProcess } from './zygote-process.ts';

/** Threads of a process that io_uring works for, the process included; it could not make any itself. */
const RING_THREADS = 64;

/** Runs each device in a process of its own and in a jail, as a fork of a zygote that is started with the first. */
export class JailLauncher implements DeviceLauncher {
  readonly inJail = true;
  readonly #options: JailOptions;
  readonly #program: string | undefined;
  readonly #filters = new Map<string, JailSpec['filters']>();
  #zygote: ZygoteProcess | undefined;

  /** `program` is the zygote's, if it is not the usual one. */
  constructor(options: JailOptions, program?: string) {
    this.#options = options;
    this.#program = program;
  }

  /** Throws `E_SECCOMP_POLICY` and `E_FILE_OPEN` for the device's policy. */
  launch(name: string, given: DeviceSpec, say: (line: string) => void): LaunchedDevice {
    const spec = this.#settled(given);
    const jail = this.#jailOf(spec);
    if (this.#zygote === undefined || this.#zygote.isGone) this.#zygote = new ZygoteProcess(this.#program);
    const zygote = this.#zygote;
    const [connection, frontEnd] = streamPair();
    const [orders, theirOrders] = packetPair();
    const [messages, theirMessages] = streamPair();
    const fds = [theirMessages.fd, frontEnd.fd, theirOrders.fd, ...inheritedFds(spec)];
    const { id, ended } = zygote.start({ name, spec, jail }, fds);
    for (const theirs of [frontEnd, theirOrders, theirMessages]) theirs.close();
    let last: string | undefined;
    const saidAll = readMessages(messages.fd, (line) => {
      last = line;
      say(line);
    });
    const gone = Promise.all([ended, saidAll]).then(([how]) => how);
    return { connection, orders, gone, lastWords: () => last, kill: () => zygote.kill(id) };
  }

  /** No device is launched any more; the zygote ends when those that were are gone, or are late with that. */
  close(): void {
    this.#zygote?.close();
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
