import { EventFd } from '../../base/event-fd.ts';
import { type FeatureSet, hasFeature, VIRTIO_F_RING_PACKED } from '../../virtio/features.ts';
import type { DeviceMemory } from '../../virtio/queue/device-memory.ts';
import { PackedInflight } from '../../virtio/queue/packed-inflight.ts';
import { PACKED_START, PackedQueue } from '../../virtio/queue/packed-queue.ts';
import { SplitInflight } from '../../virtio/queue/split-inflight.ts';
import { SplitQueue } from '../../virtio/queue/split-queue.ts';
import { type RingAddresses, ringFeatures, type Virtqueue } from '../../virtio/queue/virtqueue.ts';
import { protocolError } from '../protocol/message.ts';

/** The eventfds of a ring: from the driver, to the driver, and to the front end when the ring is broken. */
export type VringEvent = 'kick' | 'call' | 'error';

/**
 * One ring as the front end describes it. It is started while it has an eventfd for kicks, and runs while it is
 * enabled, too: then it has a queue.
 */
export class Vring {
  readonly index: number;
  readonly #maxSize: number;
  #size: number;
  #addresses: RingAddresses | undefined;
  /** Undefined: from the beginning, which each format says in another way. */
  #base: number | undefined;
  #enabled = false;
  readonly #events: Record<VringEvent, EventFd | undefined> = { kick: undefined, call: undefined, error: undefined };
  #queue: Virtqueue | undefined;

  constructor(index: number, maxSize: number) {
    this.index = index;
    this.#maxSize = maxSize;
    this.#size = maxSize;
  }

  /** Undefined unless the ring runs. */
  get queue(): Virtqueue | undefined {
    return this.#queue;
  }

  get kick(): EventFd | undefined {
    return this.#events.kick;
  }

  get size(): number {
    return this.#size;
  }

  setSize(size: number): void {
    this.#mustNotRun('size');
    if (size < 1 || size > this.#maxSize) {
      throw protocolError(
        `ring ${this.index} cannot have ${size} descriptors; from 1 to ${this.#maxSize} are possible`,
      );
    }
    this.#size = size;
  }

  setAddresses(addresses: RingAddresses): void {
    const { descriptor, driver, device } = this.#addresses ?? {};
    // Front ends say them again when something else about the ring changes.
    if (addresses.descriptor === descriptor && addresses.driver === driver && addresses.device === device) return;
    this.#mustNotRun('addresses');
    this.#addresses = addresses;
  }

  setBase(base: number): void {
    this.#mustNotRun('base');
    this.#base = base;
  }

  /** The eventfd becomes the ring's. */
  setEvent(name: VringEvent, fd: number | undefined): void {
    this.#events[name]?.close();
    this.#events[name] = fd === undefined ? undefined : new EventFd(fd);
  }

  set enabled(on: boolean) {
    this.#enabled = on;
  }

  /** Whether it has all that a queue needs. */
  get mayRun(): boolean {
    return this.#enabled && this.#events.kick !== undefined && this.#addresses !== undefined;
  }

  /** Makes the queue; `inflight` is where it notes its requests, if it does. Throws `E_VIRTQUEUE` when the guest has put the ring where it cannot be. */
  start(memory: DeviceMemory, features: FeatureSet, inflight: DataView | undefined): Virtqueue {
    const addresses = this.#addresses!;
    const ring = ringFeatures(features);
    const base = this.base(features);
    this.#queue = isPacked(features)
      ? new PackedQueue(memory, this.#size, addresses, ring, base, inflight && new PackedInflight(inflight, this.#size))
      : new SplitQueue(memory, this.#size, addresses, ring, base, inflight && new SplitInflight(inflight, this.#size));
    return this.#queue;
  }

  /** Ends the queue; where it stood is kept for the next one. */
  stop(): void {
    if (this.#queue === undefined) return;
    this.#base = this.#queue.base;
    this.#queue = undefined;
  }

  /** Where the ring stands, for VHOST_USER_GET_VRING_BASE. */
  base(features: FeatureSet): number {
    return this.#queue?.base ?? this.#base ?? (isPacked(features) ? PACKED_START : 0);
  }

  interrupt(): void {
    if (this.#queue?.needsInterrupt()) this.#events.call?.signal();
  }

  /** Tells the front end that the ring is broken. */
  signalError(): void {
    this.#events.error?.signal();
  }

  /** Back to the state of a new connection. */
  reset(): void {
    this.#queue = undefined;
    this.#size = this.#maxSize;
    this.#addresses = undefined;
    this.#base = undefined;
    this.#enabled = false;
    for (const name of Object.keys(this.#events)) this.setEvent(name as VringEvent, undefined);
  }

  #mustNotRun(what: string): void {
    if (this.#queue !== undefined)
      throw protocolError(`the ${what} of ring ${this.index} may not change while it runs`);
  }
}

function isPacked(features: FeatureSet): boolean {
  return hasFeature(features, VIRTIO_F_RING_PACKED);
}
