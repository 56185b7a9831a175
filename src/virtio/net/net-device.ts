import { type Fields, wholeNumber } from '../../fields.ts';
import { type DeviceHost, EPOLLIN, EPOLLOUT, type VirtioDevice } from '../device.ts';
import { type FeatureSet, featureSet, hasFeature } from '../features.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { serveRequests } from '../serve-requests.ts';
import { FrameReceiver } from './frame-receiver.ts';
import {
  netConfig,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_UFO,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_UFO,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
} from './net-config.ts';
import { control, type NetCommands, offloadsOf } from './net-control.ts';
import type { NetPort } from './net-port.ts';

const QUEUE_SIZE = 256;

/** Frames handled before others have their turn. */
const BATCH = 64;

/** What the guest can finish by itself; it can be switched on and off by a command. */
const GUEST_OFFLOADS = featureSet(
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_UFO,
);

/** What a port can finish for the guest, or leave to it. */
export const OFFLOADS =
  GUEST_OFFLOADS |
  featureSet(
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_F_HOST_ECN,
    VIRTIO_NET_F_HOST_UFO,
    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  );

export interface NetOptions {
  /** Six bytes; without it the guest chooses. */
  readonly mac: Uint8Array | undefined;
  /** Bytes of the largest packet; without it the guest takes 1500. */
  readonly mtu: number | undefined;
  /** Whether the ports look at the headers of frames. */
  readonly offloads: boolean;
  /** Called when what `saveState` says has changed. */
  readonly onStateChange?: () => void;
}

/** What a driver has told another device. */
interface InheritedState {
  readonly pairs: number;
  readonly offloads: FeatureSet;
}

/** The network device (VIRTIO 1.3, section 5.1), with a pair of queues for each port. */
export class NetDevice implements VirtioDevice, NetCommands {
  readonly type = 'net';
  readonly features: FeatureSet;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #ports: readonly NetPort[];
  readonly #receivers: readonly FrameReceiver[];
  /** EPOLL flags that are waited for on each port. */
  readonly #watched: number[];
  readonly #onReady: ((events: number) => void)[];
  readonly #chain = new DescriptorChain();
  /** Pairs of queues that the driver uses. */
  #pairs = 1;
  #controlQueue = 2;
  #negotiated = 0n;
  /** Of GUEST_OFFLOADS, what the driver wants now. */
  #guestOffloads = 0n;
  /** What a predecessor was told, which counts when the features are known. */
  #inherited: InheritedState | undefined;
  readonly #onStateChange: () => void;
  #host!: DeviceHost;

  /** The ports, at least one, are the device's to close. */
  constructor(ports: readonly NetPort[], { mac, mtu, offloads, onStateChange = () => {} }: NetOptions) {
    this.#onStateChange = onStateChange;
    this.#ports = ports;
    this.#receivers = ports.map((port) => new FrameReceiver(port));
    this.#watched = ports.map(() => 0);
    this.#onReady = ports.map((_, pair) => (events) => this.#portIsReady(pair, events));
    this.queueSizes = new Array<number>(2 * ports.length + 1).fill(QUEUE_SIZE);
    this.config = netConfig(mac, ports.length, mtu);
    const bits = [VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_CTRL_VQ];
    if (mac !== undefined) bits.push(VIRTIO_NET_F_MAC);
    if (mtu !== undefined) bits.push(VIRTIO_NET_F_MTU);
    if (ports.length > 1) bits.push(VIRTIO_NET_F_MQ);
    this.features = (offloads ? OFFLOADS : 0n) | featureSet(...bits);
    this.#useDefaults();
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  negotiated(features: FeatureSet): void {
    this.#negotiated = features;
    this.#controlQueue = hasFeature(features, VIRTIO_NET_F_MQ) ? 2 * this.#ports.length : 2;
    const mergeable = hasFeature(features, VIRTIO_NET_F_MRG_RXBUF);
    for (const receiver of this.#receivers) receiver.mergeable = mergeable;
    if (this.#inherited === undefined) this.setOffloads(features & GUEST_OFFLOADS);
    else this.#inherit(this.#inherited);
  }

  serve(index: number, queue: Virtqueue): boolean {
    if (index === this.#controlQueue) return serveRequests(this.#host, index, queue, this.#chain, BATCH, this.#control);
    const more = this.#serveFrames(index, queue);
    this.#host.interrupt(index);
    return more;
  }

  queueStopping(index: number): void {
    const pair = index >> 1;
    if (pair < this.#ports.length) this.#watch(pair, index % 2 === 0 ? EPOLLIN : EPOLLOUT, false);
  }

  /** Which pairs of queues the driver uses, from the first on. */
  setPairs(pairs: number): boolean {
    if (!hasFeature(this.#negotiated, VIRTIO_NET_F_MQ) || pairs < 1 || pairs > this.#ports.length) return false;
    this.#pairs = pairs;
    this.#onStateChange();
    for (const [i, port] of this.#ports.entries()) {
      port.setActive(i < pairs);
      if (i < pairs) this.#host.serveSoon(2 * i);
      else this.#ignore(i);
    }
    return true;
  }

  /** What frames to the guest may leave to it: a part of what was negotiated. */
  setOffloads(features: FeatureSet): boolean {
    if ((features & ~(this.#negotiated & GUEST_OFFLOADS)) !== 0n) return false;
    for (const port of this.#ports) port.setOffloads(offloadsOf(features));
    this.#guestOffloads = features;
    this.#onStateChange();
    return true;
  }

  saveState(): Fields {
    return { pairs: this.#pairs, offloads: Number(this.#guestOffloads) };
  }

  loadState(state: Fields): void {
    const pairs = wholeNumber(state['pairs'], 'the number of pairs of queues', this.#ports.length);
    const offloads = BigInt(wholeNumber(state['offloads'], 'what the driver does by itself'));
    if (pairs < 1) throw new TypeError('it has no queues');
    if ((offloads & ~GUEST_OFFLOADS) !== 0n)
      throw new TypeError('what the driver does by itself is nothing that there is');
    this.#inherited = { pairs, offloads };
    if (this.#negotiated !== 0n) this.#inherit(this.#inherited);
  }

  reset(): void {
    for (const i of this.#ports.keys()) this.#ignore(i);
    for (const receiver of this.#receivers) receiver.reset();
    this.#negotiated = 0n;
    this.#inherited = undefined;
    this.#useDefaults();
    this.#onStateChange();
  }

  close(): void {
    for (const i of this.#ports.keys()) this.#ignore(i);
    for (const port of this.#ports) port.close();
  }

  #useDefaults(): void {
    this.#pairs = 1;
    this.#controlQueue = 2;
    this.#guestOffloads = 0n;
    for (const [i, port] of this.#ports.entries()) {
      port.setActive(i === 0);
      port.setOffloads(offloadsOf(0n));
    }
  }

  /** The driver has told a predecessor what it wants, within what it has negotiated. */
  #inherit({ pairs, offloads }: InheritedState): void {
    this.#inherited = undefined;
    if (pairs > 1) this.setPairs(pairs);
    this.setOffloads(offloads & this.#negotiated);
  }

  #serveFrames(index: number, queue: Virtqueue): boolean {
    const pair = index >> 1;
    if (pair >= this.#pairs) return false;
    if (index % 2 === 0) return this.#receive(pair, queue);
    return this.#transmit(pair, queue);
  }

  readonly #control = (chain: DescriptorChain): number => control(chain, this);

  #receive(pair: number, queue: Virtqueue): boolean {
    const receiver = this.#receivers[pair]!;
    for (let left = BATCH; left > 0; left--) {
      switch (receiver.receive(queue)) {
        case 'frame':
          break;
        case 'no frame':
          this.#watch(pair, EPOLLIN, true);
          return false;
        case 'end':
        case 'no buffer':
          this.#watch(pair, EPOLLIN, false);
          return false;
      }
    }
    return true;
  }

  /** A frame for which there is no room waits, and those behind it. */
  #transmit(pair: number, queue: Virtqueue): boolean {
    const chain = this.#chain;
    for (let left = BATCH; left > 0; left--) {
      if (!queue.pop(chain)) return queue.enableNotification();
      if (!this.#ports[pair]!.send(chain.readable)) {
        queue.unpop(chain);
        this.#watch(pair, EPOLLOUT, true);
        return false;
      }
      queue.push(chain, 0);
    }
    return true;
  }

  #portIsReady(pair: number, events: number): void {
    if ((events & ~EPOLLIN) !== 0) {
      this.#watch(pair, EPOLLOUT, false);
      this.#host.serveSoon(2 * pair + 1);
    }
    if ((events & ~EPOLLOUT) !== 0) this.#host.serveSoon(2 * pair);
  }

  /** Waits for an event of a port, or no longer. */
  #watch(pair: number, event: number, on: boolean): void {
    const before = this.#watched[pair]!;
    const events = on ? before | event : before & ~event;
    if (events === before) return;
    this.#watched[pair] = events;
    const { fd } = this.#ports[pair]!;
    if (events === 0) this.#host.unwatch(fd);
    else if (before === 0) this.#host.watch(fd, events, this.#onReady[pair]!);
    else this.#host.rewatch(fd, events);
  }

  #ignore(pair: number): void {
    this.#watch(pair, EPOLLIN | EPOLLOUT, false);
  }
}
