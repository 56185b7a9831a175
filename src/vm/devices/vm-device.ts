/** A virtio device of a running VM, as the main thread looks after it. Nothing here happens per request. */
import { isDeepStrictEqual } from 'node:util';
import { replaceFd } from '../../base/fd.ts';
import { onHangUp, type Subscription } from '../../base/readable.ts';
import { connectStream, type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import type { DeviceOrder } from '../../device-process/device-orders.ts';
import { CrosvmError } from '../../errors.ts';
import type { Log, LogLevel } from '../../log.ts';
import type { MemoryWindow } from '../../memory/memory-window.ts';
import { type SharedMemoryBar, sharedMemoryBar } from '../../pci/virtio-pci/shared-memory.ts';
import type { VirtioPci } from '../../pci/virtio-pci/virtio-pci.ts';
import { serveBackEnd } from '../../vhost-user/front-end/back-end-requests.ts';
import { SharedMemory } from '../../vhost-user/front-end/shared-memory.ts';
import type { VhostUserLink } from '../../vhost-user/front-end/vhost-user-link.ts';
import { type VirtioDeviceName, type VirtioDeviceType, virtioDeviceTypes } from '../../virtio/device-types.ts';
import type { InputPort } from '../input-pump.ts';
import {
  type BackEnd,
  type DevicePlace,
  describeDevice,
  greetBackEnd,
  type VhostUserDeviceHandle,
} from './connect-device.ts';
import { createOwnDevice } from './create-own-device.ts';
import { DeviceMaster } from './device-master.ts';
import type { KernelSource } from './kernel-source.ts';
import type { DeviceLauncher, LaunchedDevice } from './launcher.ts';
import type { GivenSpec, OwnDevice } from './own-device.ts';
import type { DevicePlan, DeviceSource } from './plan.ts';
import { RestartPace } from './restart-pace.ts';
import type { DeviceLink, VirtioDeviceHandle } from './virtio-device.ts';
import { closeWiring, watchWiring } from './wiring.ts';

/** How long a device of ours may go on without its connection. */
const END_TIMEOUT_MS = 2_000;
/**
 * Devices that know nothing but what is in their queues, or is kept for them: another one goes on where they were. Or it refuses
 * all requests until their driver begins anew (shared folders), which is better than that those wait for ever.
 */
const RESUMING: readonly VirtioDeviceName[] = ['9p', 'balloon', 'block', 'fs', 'net', 'pmem', 'rng'];

/**
 * Connects a device to its VM, and watches over it: interrupts without a vector, changes of configuration, failures, its
 * end. One of ours that ends is started again.
 */
export class VmDevice {
  readonly plan: DevicePlan;
  readonly #launcher: DeviceLauncher;
  /** Of ours. */
  readonly #own: OwnDevice | undefined;
  readonly #log: Log;
  /** Of ours. */
  #launched: LaunchedDevice | undefined;
  #master: DeviceMaster | undefined;
  readonly #connection: StreamConnection;
  #backEnd: BackEnd | undefined;
  #handle: VhostUserDeviceHandle | undefined;
  #link: VhostUserLink | undefined;
  #sharedMemory: SharedMemory | undefined;
  #eventSubscriptions: Subscription[] = [];
  #connectionSubscriptions: Subscription[] = [];
  #restartTimer: NodeJS.Timeout | undefined;
  #startedAt = performance.now();
  readonly #pace = new RestartPace();
  #closing: Promise<void> | undefined;

  /** Connects to the back end, or starts it. Throws `E_DEVICE`, which names the device. */
  static async start(plan: VhostUserPlan, launcher: DeviceLauncher, log: Log): Promise<VmDevice> {
    const { source } = plan;
    using starting = new DisposableStack();
    try {
      if (source.kind === 'socket') return new VmDevice(plan, launcher, log, connectStream(source.path));
      const own = starting.adopt(createOwnDevice(source), (device) => device.close());
      using given = await own.give(launcher.inJail);
      const device = new VmDevice(plan, launcher, log, { own, given });
      starting.move();
      return device;
    } catch (error) {
      throw namedError(plan, error as Error);
    }
  }

  private constructor(plan: DevicePlan, launcher: DeviceLauncher, log: Log, start: StreamConnection | OwnStart) {
    this.plan = plan;
    this.#launcher = launcher;
    this.#log = log;
    this.#own = 'own' in start ? start.own : undefined;
    this.#connection = 'own' in start ? this.#launch(start.own, start.given) : start;
  }

  /** Of a console: where it takes input. */
  get input(): InputPort | undefined {
    return this.#own?.input;
  }

  /** What shared memory it has, if it may have any: waits until the back end has said what it is. Throws `E_DEVICE`. */
  async sharedMemory(): Promise<SharedMemoryBar | undefined> {
    const { sharesMemory = false }: VirtioDeviceType = virtioDeviceTypes[this.plan.type];
    if (!sharesMemory) return undefined;
    return this.#orReason(async () => sharedMemoryBar((await this.#greet()).sharedMemory));
  }

  /** Waits until the back end has said what it is. Throws `E_DEVICE`. */
  connect(place: DevicePlace): Promise<VirtioDeviceHandle> {
    return this.#orReason(async () => {
      const backEnd = await this.#greet();
      this.#own?.isUp?.();
      this.#handle = describeDevice(this.plan, backEnd, this.#connection.fd, place);
      return this.#handle;
    });
  }

  async #greet(): Promise<BackEnd> {
    this.#backEnd ??= await greetBackEnd(this.#connection, this.plan.type);
    return this.#backEnd;
  }

  async #orReason<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw namedError(this.plan, await this.#reasonOf(error as Error, this.#connection));
    }
  }

  /** From now on looks after it. All is this thread's; `window` is that of its shared memory. */
  watch(device: VirtioPci, link: DeviceLink, window: MemoryWindow | undefined): void {
    // What `connect` has returned leads to no other.
    const ownLink = link as VhostUserLink;
    this.#link = ownLink;
    const { sharedMemory } = this.#handle!.spec;
    if (window !== undefined) this.#sharedMemory = new SharedMemory(window, sharedMemory?.regions ?? []);
    this.#eventSubscriptions = watchWiring(this.#handle!.backEnd.wiring, device);
    this.#watchConnection(device, ownLink);
  }

  /** Gives it an order. Rejects with a `CrosvmError` that names the device when that was not carried out. */
  async order<K extends 'done' | 'balloonStats'>(order: DeviceOrder, kind: K) {
    if (this.#master === undefined) throw new CrosvmError('E_DEVICE_ORDER', `${this.plan.name} takes no orders`);
    try {
      return await this.#master.order(order, kind);
    } catch (error) {
      throw namedError(this.plan, error as Error);
    }
  }

  /** Ends it; no thread uses it any more. Settles when the back end is gone, if it is one of ours. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#restartTimer);
    for (const subscription of [...this.#eventSubscriptions, ...this.#connectionSubscriptions]) subscription.close();
    this.#backEnd?.requests.close();
    this.#master?.close();
    this.#connection.close();
    this.#link?.close();
    if (this.#handle !== undefined) closeWiring(this.#handle.backEnd.wiring);
    this.#own?.close(); // the device has its own descriptors
    if (this.#launched !== undefined) await itsEnd(this.#launched);
  }

  #launch(own: OwnDevice, { spec }: GivenSpec): StreamConnection {
    const [connection, frontEnd] = streamPair();
    try {
      this.#launched = this.#launcher.launch(this.plan.name, spec, frontEnd.fd, (line) => this.#say(line));
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      frontEnd.close();
    }
    this.#master?.close();
    const master = new DeviceMaster(this.#launched.orders);
    this.#master = master;
    // Whether a device that is about to end has taken it does not matter: the next one is told again.
    own.attend?.((order) => void master.order(order, 'done').catch(() => {}));
    return connection;
  }

  #watchConnection(device: VirtioPci, link: VhostUserLink): void {
    const requests = serveBackEnd(this.#backEnd!.requests, {
      configChanged: () => device.configChanged(),
      sharedMemory: this.#sharedMemory,
    });
    const hangUp = onHangUp(this.#connection.fd, () => {
      requests.close();
      // What is mapped stays, for who uses it, until the driver resets the device.
      link.disconnected();
      void this.#lost(device, link);
    });
    this.#connectionSubscriptions = [requests, hangUp];
  }

  /** The connection has ended, and nobody has asked for that. */
  async #lost(device: VirtioPci, link: VhostUserLink): Promise<void> {
    if (this.#launched === undefined) {
      device.deviceLost('the back end has ended the connection');
      return;
    }
    const how = reasonFor(await itsEnd(this.#launched), link);
    if (this.#closing !== undefined) return;
    // What others than these have lost only their driver knows.
    const resumes = RESUMING.includes(this.plan.type);
    this.#log('warn', `${this.plan.name} has ended (${how}) and is started again`);
    if (!resumes) device.deviceLost(`it has ended (${how})`);
    this.#scheduleRestart(device, link, resumes);
  }

  #scheduleRestart(device: VirtioPci, link: VhostUserLink, resumes: boolean): void {
    const delay = this.#pace.delay(performance.now() - this.#startedAt);
    this.#restartTimer = setTimeout(() => void this.#restart(device, link, resumes), delay);
  }

  async #restart(device: VirtioPci, link: VhostUserLink, resumes: boolean): Promise<void> {
    const own = this.#own!;
    this.#startedAt = performance.now();
    let connection: StreamConnection | undefined;
    this.#launched = undefined; // what happens before there is another is not for the last one to explain
    try {
      using given = await own.give(this.#launcher.inJail);
      connection = this.#launch(own, given);
      if (this.#closing !== undefined) return this.#master?.close();
      const backEnd = await greetBackEnd(connection, this.plan.type);
      own.isUp?.();
      if (this.#closing !== undefined) return backEnd.requests.close();
      this.#backEnd!.requests.close();
      this.#backEnd = backEnd;
      const { spec, backEnd: old } = this.#handle!;
      const isSame =
        (backEnd.features & spec.features) === spec.features && backEnd.protocolFeatures === old.protocolFeatures;
      if (!isSame || !isDeepStrictEqual(sharedMemoryBar(backEnd.sharedMemory), spec.sharedMemory)) {
        throw new CrosvmError('E_VHOST_USER', 'it is not the same device any more');
      }
      // All threads know the connection by its number.
      replaceFd(old.fd, connection.fd);
      this.#watchConnection(device, link);
      device.backEndReplaced(() => link.reconnected(), resumes);
    } catch (error) {
      const reason = await this.#reasonOf(error as Error, connection);
      if (this.#closing !== undefined) return;
      this.#log('warn', `${this.plan.name} cannot be started again: ${reason.message}`);
      this.#scheduleRestart(device, link, resumes);
    } finally {
      connection?.close();
    }
  }

  /** What a device of ours says is better than what its end looks like from here. */
  async #reasonOf(error: Error, connection: StreamConnection | undefined): Promise<Error> {
    if (this.#launched === undefined) return error;
    const { lastWords } = this.#launched;
    connection?.close();
    const how = await itsEnd(this.#launched);
    return new CrosvmError('E_DEVICE', lastWords()?.replace(/^crosvm: /, '') ?? `${error.message} (${how})`);
  }

  #say(line: string): void {
    const [, level, text] = /^crosvm: .*?: (error|warn|info|debug): (.*)$/.exec(line) ?? [];
    // Other lines are the reason of its end, which is told then.
    if (level !== undefined) this.#log(level as LogLevel, `${this.plan.name}: ${text}`);
  }
}

/** A device of a running VM, as the main thread looks after it, whoever provides it. */
export type ManagedDevice = Pick<VmDevice, 'plan' | 'input' | 'sharedMemory' | 'connect' | 'watch' | 'order' | 'close'>;

/** The plan of a device that speaks vhost-user. */
type VhostUserPlan = DevicePlan & { readonly source: Exclude<DeviceSource, KernelSource> };

/** The first start of a device of ours. */
interface OwnStart {
  readonly own: OwnDevice;
  readonly given: GivenSpec;
}

/** An error that names the device. */
export function namedError({ name }: DevicePlan, cause: Error): CrosvmError {
  const message = cause.message.startsWith(name) ? cause.message : `${name}: ${cause.message}`;
  return new CrosvmError('E_DEVICE', message, { cause });
}

/** A device that ends by itself does that because its connection has ended: then why is what counts. */
function reasonFor(how: string, { givenUpFor }: VhostUserLink): string {
  return how === 'exit status 0' && givenUpFor !== undefined ? `given up: ${givenUpFor}` : how;
}

/** How a device whose connection has ended ends. One that hangs is killed. */
async function itsEnd({ gone, kill }: LaunchedDevice): Promise<string> {
  const timer = setTimeout(kill, END_TIMEOUT_MS);
  const how = await gone;
  clearTimeout(timer);
  return how;
}
