/** A device process in its jail that is killed at random and started again, with a driver that is no guest. */
import { EventFd } from '../src/base/event-fd.ts';
import { replaceFd } from '../src/base/fd.ts';
import { onHangUp, type Subscription, waitReadable } from '../src/base/readable.ts';
import type { StreamConnection } from '../src/base/unix-stream.ts';
import type { VmAccess } from '../src/hypervisor/hypervisor.ts';
import type { QueueSetup } from '../src/pci/virtio-pci/virtio-link.ts';
import type { QueueWiring } from '../src/vhost-user/front-end/queue-wiring.ts';
import { createVhostUserState, VhostUserLink } from '../src/vhost-user/front-end/vhost-user-link.ts';
import type { MessageChannel } from '../src/vhost-user/message-channel.ts';
import { SharedGuest } from '../src/vhost-user/testing/test-front-end.ts';
import {
  featureSet,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from '../src/virtio/features.ts';
import type { MockDriver, RingFormat } from '../src/virtio/testing/mock-guest.ts';
import { greetBackEnd } from '../src/vm/devices/connect-device.ts';
import { JailLauncher } from '../src/vm/devices/jail-launcher.ts';
import type { OwnDevice } from '../src/vm/devices/own-device.ts';
import { type ConnectedDevice, launchDevice } from '../src/vm/devices/testing/launch.ts';
import { closeWiring, createWiring } from '../src/vm/devices/wiring.ts';

const RING_FEATURES = featureSet(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC);

export interface MortalOptions {
  readonly format: RingFormat;
  /** What the driver accepts of the device. */
  readonly features?: bigint;
  /** Sizes of its queues. */
  readonly queues: readonly number[];
  /** Bytes of guest memory, which the driver never uses twice. */
  readonly memory: number;
}

const fenceWord = new Int32Array(new SharedArrayBuffer(4));

/** The front end and the driver. Nobody waits for longer than some milliseconds, so that kills come at any moment. */
export class MortalDevice {
  readonly guest: SharedGuest;
  readonly drivers: readonly MockDriver[];
  /** How often it was killed. */
  kills = 0;
  /** What it said, which is nothing as long as all is well. */
  readonly said: string[] = [];
  readonly #launcher = new JailLauncher({});
  readonly #own: OwnDevice;
  readonly #features: bigint;
  readonly #setups: readonly QueueSetup[];
  readonly #wiring: QueueWiring;
  readonly #kicks: readonly EventFd[];
  readonly #calls: readonly EventFd[];
  #device: ConnectedDevice | undefined;
  #requests: MessageChannel | undefined;
  #connection: StreamConnection | undefined;
  #link: VhostUserLink | undefined;
  #subscription: Subscription | undefined;
  /** What the process that is to come goes on with. */
  #moved: { readonly bases: ReadonlyMap<number, number>; readonly state: Uint8Array } | undefined;
  #isClosing = false;

  /** `own` becomes this one's to close. */
  constructor(own: OwnDevice, { format, features = 0n, queues, memory }: MortalOptions) {
    this.#own = own;
    this.#features = features | RING_FEATURES | (format === 'packed' ? featureSet(VIRTIO_F_RING_PACKED) : 0n);
    this.guest = new SharedGuest(memory);
    this.drivers = queues.map((size) => this.guest.driver(format, size, { eventIdx: true, indirect: true }));
    this.#wiring = createWiring(queues.length, queues.length);
    this.#kicks = this.#wiring.kicks.map((fd) => new EventFd(fd));
    this.#calls = this.#wiring.vectors.map((fd) => new EventFd(fd));
    const gpa = (userAddress: number) => userAddress - this.guest.userAddress(0);
    this.#setups = this.drivers.map(({ addresses }, index) => ({
      index,
      size: queues[index]!,
      desc: gpa(addresses.descriptor),
      driver: gpa(addresses.driver),
      device: gpa(addresses.device),
      interrupt: index,
    }));
  }

  /** The driver starts the device. */
  async start(): Promise<void> {
    const { connection, requests, protocolFeatures, speaksProtocol } = await this.#launch();
    this.#connection = connection;
    const state = createVhostUserState();
    const wiring = this.#wiring;
    const handle = { fd: connection.fd, comesBack: true, speaksProtocol, protocolFeatures, localConfig: undefined };
    this.#link = new VhostUserLink({ ...handle, wiring, state, files: [] }, this.#vm());
    this.#requests = requests;
    this.#link.start(this.#features, this.#setups);
    this.#watch();
  }

  /** How the device that was there last has ended; it must have. */
  get end(): Promise<string> {
    return this.#device!.gone;
  }

  /** Whoever was there is killed now, wherever it is. */
  kill(): void {
    this.kills++;
    this.#device?.kill();
  }

  /** Hands the device to another process, which goes on with its state and where its queues stand. */
  move(): void {
    const link = this.#link!;
    if (this.#moved !== undefined || link.isGone()) return;
    this.#moved = { bases: link.suspend(), state: link.saveState() };
    link.close();
    this.kill();
  }

  /** Kicks the queues whose drivers have to. */
  kick(): void {
    Atomics.add(fenceWord, 0, 0);
    for (const [i, driver] of this.drivers.entries()) if (driver.needsKick()) this.#kicks[i]!.signal();
  }

  /** Waits a little for an interrupt of a queue. */
  awaitInterrupt(index: number): void {
    this.drivers[index]!.wantInterrupt(true);
    Atomics.add(fenceWord, 0, 0);
    if (waitReadable(this.#calls[index]!.fd, 2)) this.#calls[index]!.clear();
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#subscription?.close();
    this.#requests?.close();
    this.#device?.orders.close();
    this.#connection?.close();
    await this.#device?.gone;
    this.#link?.close();
    await this.#launcher.close();
    closeWiring(this.#wiring);
    this.#own.close();
    this.guest.close();
  }

  async #launch() {
    using given = await this.#own.give(true);
    this.#device = launchDevice(this.#launcher, given.spec, (line) => this.said.push(line));
    const { connection } = this.#device;
    const backEnd = await greetBackEnd(connection, given.spec.type);
    this.#own.isUp?.();
    return { connection, ...backEnd };
  }

  #watch(): void {
    const link = this.#link!;
    this.#subscription = onHangUp(this.#connection!.fd, () => {
      link.disconnected();
      void this.#restart(link);
    });
  }

  async #restart(link: VhostUserLink): Promise<void> {
    for (;;) {
      await this.#device!.gone;
      this.#device!.orders.close();
      if (this.#isClosing) return;
      const other = await this.#launch().catch(() => undefined);
      if (other !== undefined) {
        this.#requests!.close();
        this.#requests = other.requests;
        replaceFd(this.#connection!.fd, other.connection.fd);
      }
      this.#device!.connection.close();
      if (other === undefined) continue; // killed meanwhile
      this.#watch();
      link.reconnected();
      const moved = this.#moved;
      this.#moved = undefined;
      try {
        if (moved === undefined) link.restart(this.#features, this.#setups);
        else {
          link.loadState(moved.state);
          link.resume(this.#features, this.#setups, moved.bases);
        }
      } catch {
        // Killed meanwhile, as whoever watches the connection hears.
      }
      return;
    }
  }

  #vm(): VmAccess {
    const { guest } = this;
    const memory = {
      regions: [{ gpa: guest.gpa, size: guest.size, fdOffset: 0 }],
      getU16: (gpa: number) => guest.view(gpa, 2).getUint16(0, true),
    };
    return { memory, memoryFd: guest.fd } as unknown as VmAccess;
  }
}
