import { EPOLLERR, EPOLLHUP, EPOLLIN } from '../../base/epoll.ts';
import type { EventLoop, ReadyCallback } from '../../base/event-loop.ts';
import { setNonBlocking } from '../../base/fd.ts';
import { CrosvmError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { DeviceHost, SharedPiece, SharedRange, VirtioDevice } from '../../virtio/device.ts';
import {
  type FeatureSet,
  featureSet,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from '../../virtio/features.ts';
import type { DeviceMemory } from '../../virtio/queue/device-memory.ts';
import type { Virtqueue } from '../../virtio/queue/virtqueue.ts';
import { GuestMemoryMap } from './guest-memory-map.ts';
import type { InflightMemory } from './inflight-area.ts';
import { RingPoller } from './ring-poller.ts';
import { Vring, type VringEvent } from './vring.ts';

/** What our rings can do, whatever the device. */
const RING_FEATURES = featureSet(VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED);

/** Device status: it cannot go on without a reset (VIRTIO 1.3, 2.1). */
const DEVICE_NEEDS_RESET = 0x40;

/** A guest can break its queues as often as it likes; so many times somebody wants to read of it. */
const MAX_COMPLAINTS = 20;

/** What a runner asks of the front end. */
export type FrontEndServices = Pick<DeviceHost, 'configChanged' | 'hasSharedMemory' | 'mapShared' | 'unmapShared'>;

/** A device with its rings: starts and stops them, wakes the device for kicks, and sees to broken ones. */
export class DeviceRunner implements DeviceHost {
  readonly device: VirtioDevice;
  /** What a driver may negotiate. */
  readonly offered: FeatureSet;
  readonly map = new GuestMemoryMap();
  readonly vrings: readonly Vring[];
  /** Where requests that are under way are noted, when the front end wants that. Only changes while no ring runs. */
  inflight: InflightMemory | undefined;
  /** The device status as the driver last wrote it, with DEVICE_NEEDS_RESET when that is so. */
  status = 0;
  readonly #loop: EventLoop;
  readonly #log: Log;
  readonly #frontEnd: FrontEndServices;
  readonly #kicked: ReadyCallback[];
  /** Rings whose device stopped before they were empty. */
  readonly #unfinished = new Set<number>();
  readonly #poller: RingPoller<Vring>;
  #features: FeatureSet = 0n;
  #complaints = 0;

  constructor(device: VirtioDevice, loop: EventLoop, log: Log, frontEnd: FrontEndServices) {
    this.device = device;
    this.offered = device.features | RING_FEATURES;
    this.vrings = device.queueSizes.map((size, index) => new Vring(index, size));
    this.#poller = new RingPoller(this.vrings.length);
    this.#kicked = this.vrings.map((vring) => (events: number) => this.#onKick(vring, events));
    this.#loop = loop;
    this.#log = log;
    this.#frontEnd = frontEnd;
    device.attach(this);
  }

  get memory(): DeviceMemory {
    return this.map.memory;
  }

  queue(index: number): Virtqueue | undefined {
    return this.vrings[index]?.queue;
  }

  interrupt(index: number): void {
    const vring = this.vrings[index]!;
    vring.interrupt();
    this.#poller.answered(vring);
  }

  serveSoon(index: number): void {
    this.#unfinished.add(index);
  }

  configChanged(): void {
    this.#frontEnd.configChanged();
  }

  get hasSharedMemory(): boolean {
    return this.#frontEnd.hasSharedMemory;
  }

  mapShared(piece: SharedPiece): void {
    this.#frontEnd.mapShared(piece);
  }

  unmapShared(range: SharedRange): void {
    this.#frontEnd.unmapShared(range);
  }

  watch(fd: number, events: number, callback: ReadyCallback): void {
    this.#loop.watch(fd, events, callback);
  }

  rewatch(fd: number, events: number): void {
    this.#loop.rewatch(fd, events);
  }

  unwatch(fd: number): void {
    this.#loop.unwatch(fd);
  }

  /** Whether any ring runs. */
  get isRunning(): boolean {
    return this.vrings.some(({ queue }) => queue !== undefined);
  }

  get features(): FeatureSet {
    return this.#features;
  }

  /** What the driver has accepted. No ring may run. */
  negotiate(features: FeatureSet): void {
    this.#features = features;
    this.device.negotiated(features & this.device.features);
  }

  /** Gives a ring an eventfd, or takes it away. The descriptor becomes the ring's. */
  setEvent(vring: Vring, name: VringEvent, fd: number | undefined): void {
    if (fd !== undefined) setNonBlocking(fd, true);
    if (name === 'kick' && vring.kick !== undefined) this.#loop.unwatch(vring.kick.fd);
    vring.setEvent(name, fd);
    if (name === 'kick' && fd !== undefined) this.#loop.watch(fd, EPOLLIN, this.#kicked[vring.index]!);
  }

  /** Starts a ring that has become able to run, and stops one that no longer is. */
  update(vring: Vring): void {
    if (!vring.mayRun) this.#stopQueue(vring);
    else if (vring.queue === undefined) this.#startQueue(vring);
  }

  /** Stops a ring for good, until it gets a new eventfd for kicks; returns where it stood. */
  stop(vring: Vring): number {
    this.#stopQueue(vring);
    this.setEvent(vring, 'kick', undefined);
    return vring.base(this.#features);
  }

  /** Carries out a change of guest memory under the rings. */
  changeMemory(change: () => void): void {
    this.device.memoryChanging?.();
    change();
    for (const vring of this.vrings) {
      vring.queue?.relocate();
      this.#checkHealth(vring);
    }
  }

  /** The device and all rings as at the beginning, but for memory. */
  reset(): void {
    this.#resetRings();
    this.device.reset();
  }

  /** The front end has gone: all that it brought goes, too. What the driver has told the device may be for another one. */
  release(): void {
    this.#resetRings();
    this.#features = 0n;
    this.inflight?.close();
    this.inflight = undefined;
    this.map.clear();
  }

  #resetRings(): void {
    for (const vring of this.vrings) {
      this.stop(vring);
      vring.reset();
    }
    this.status = 0;
  }

  /** Whether there is something to do, so that waiting would be wrong. */
  get isBusy(): boolean {
    return this.#unfinished.size > 0 || this.#poller.isPolling;
  }

  /** Goes on with the rings that were left before they were empty, and with those that are looked at. */
  goOn(): void {
    if (this.#unfinished.size > 0) {
      for (const vring of this.vrings) if (this.#unfinished.has(vring.index)) this.#serve(vring);
    } else {
      const vring = this.#poller.poll();
      if (vring !== undefined) this.#serve(vring);
    }
  }

  #onKick(vring: Vring, events: number): void {
    // Nobody can kick any more.
    if ((events & (EPOLLHUP | EPOLLERR)) !== 0) this.#loop.unwatch(vring.kick!.fd);
    else vring.kick!.clear();
    this.#serve(vring);
  }

  #serve(vring: Vring): void {
    const { queue, index } = vring;
    this.#unfinished.delete(index);
    if (queue === undefined || queue.broken !== undefined) return;
    this.#poller.found(vring);
    if (this.device.serve(index, queue)) this.#unfinished.add(index);
    this.#checkHealth(vring);
  }

  /** Requests may wait in the ring already. */
  #startQueue(vring: Vring): void {
    try {
      vring.start(this.memory, this.#features, this.inflight?.queueArea(vring.index, vring.size));
    } catch (error) {
      if (!(error instanceof CrosvmError)) throw error;
      this.#onBroken(vring, error);
      return;
    }
    this.#serve(vring);
  }

  #stopQueue(vring: Vring): void {
    const { queue, index } = vring;
    if (queue === undefined) return;
    this.device.queueStopping?.(index, queue);
    this.#unfinished.delete(index);
    vring.stop();
  }

  #checkHealth(vring: Vring): void {
    const broken = vring.queue?.broken;
    if (broken === undefined) return;
    this.#stopQueue(vring);
    vring.enabled = false;
    this.#onBroken(vring, broken);
  }

  #onBroken(vring: Vring, error: CrosvmError): void {
    if (++this.#complaints <= MAX_COMPLAINTS) {
      this.#log('warn', `queue ${vring.index} is broken until the guest resets the device: ${error.message}`);
    }
    this.status |= DEVICE_NEEDS_RESET;
    vring.signalError();
    this.#frontEnd.configChanged();
  }
}
