import { CrosvmError } from '../../errors.ts';
import type { DeviceHost, SharedPiece, SharedRange, VirtioDevice } from '../device.ts';
import type { FeatureSet } from '../features.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { type MockDriver, MockGuest, type MockRequest, type MockResult, type RingFormat } from './mock-guest.ts';

const QUEUE_SIZE = 64;
const MAX_TURNS = 10_000;

/** A device, its transport and its driver in one test. */
export class DeviceHarness implements DeviceHost {
  readonly guest: MockGuest;
  readonly device: VirtioDevice;
  readonly drivers: readonly MockDriver[];
  /** How often each queue's interrupt was raised. */
  readonly interrupts: number[];
  configChanges = 0;
  /** Whether the transport has shared memory, and what is mapped there. */
  hasSharedMemory = true;
  shared: SharedPiece[] = [];
  readonly #queues: (Virtqueue | undefined)[];
  readonly #soon = new Set<number>();
  readonly #watched = new Map<number, { events: number; callback: (events: number) => void }>();

  /** The driver accepts `features`, all that the device offers without it. */
  constructor(
    device: VirtioDevice,
    format: RingFormat,
    features: FeatureSet = device.features,
    guest = new MockGuest(),
  ) {
    this.guest = guest;
    this.device = device;
    this.drivers = device.queueSizes.map((size) =>
      guest.driver(format, Math.min(size, QUEUE_SIZE), { eventIdx: true, indirect: true }),
    );
    this.interrupts = device.queueSizes.map(() => 0);
    device.attach(this);
    device.negotiated(features);
    this.#queues = this.drivers.map((driver) => driver.open());
    for (const driver of this.drivers) driver.wantInterrupt(true);
  }

  get memory() {
    return this.guest.memory;
  }

  queue(index: number): Virtqueue | undefined {
    return this.#queues[index];
  }

  interrupt(index: number): void {
    if (this.#queues[index]?.needsInterrupt()) this.interrupts[index]!++;
  }

  serveSoon(index: number): void {
    this.#soon.add(index);
  }

  configChanged(): void {
    this.configChanges++;
  }

  mapShared(piece: SharedPiece): void {
    const end = piece.offset + piece.length;
    const isSame = ({ id, offset, length }: SharedPiece) =>
      id === piece.id && offset === piece.offset && length === piece.length;
    this.shared = this.shared.filter((other) => !isSame(other));
    const isFree = !this.shared.some(
      (other) => other.id === piece.id && other.offset < end && piece.offset < other.offset + other.length,
    );
    const size = this.device.sharedMemory?.[piece.id] ?? 0;
    if (!this.hasSharedMemory || !isFree || end > size) throw new CrosvmError('E_SHARED_MEMORY', 'it cannot be mapped');
    this.shared.push(piece);
  }

  unmapShared({ id, offset, length }: SharedRange): void {
    const index = this.shared.findIndex((one) => one.id === id && one.offset === offset && one.length === length);
    if (index < 0) throw new CrosvmError('E_SHARED_MEMORY', 'it is not mapped');
    this.shared.splice(index, 1);
  }

  watch(fd: number, events: number, callback: (events: number) => void): void {
    this.#watched.set(fd, { events, callback });
  }

  rewatch(fd: number, events: number): void {
    this.#watched.get(fd)!.events = events;
  }

  unwatch(fd: number): void {
    this.#watched.delete(fd);
  }

  /** The descriptors that the device waits for. */
  get watched(): number[] {
    return [...this.#watched.keys()];
  }

  /** What the device waits for on a descriptor. */
  watchedEvents(fd: number): number {
    return this.#watched.get(fd)?.events ?? 0;
  }

  /** These events are true of a watched descriptor. */
  ready(fd: number, events: number): void {
    this.#watched.get(fd)!.callback(events);
    this.settle();
  }

  /** The driver kicks a queue, and the device serves it until it is empty. */
  kick(index: number): void {
    this.#soon.add(index);
    this.settle();
  }

  /** Serves the queues that the device asked for, until nothing is left to do. */
  settle(): void {
    for (let turns = 0; this.#soon.size > 0; turns++) {
      if (turns === MAX_TURNS) throw new Error('the device is never done');
      const index = this.#soon.values().next().value!;
      this.#soon.delete(index);
      const queue = this.#queues[index];
      if (queue !== undefined && this.device.serve(index, queue)) this.#soon.add(index);
    }
  }

  /** Makes a request and kicks; what came back, if it did at once. */
  tryRequest(index: number, request: MockRequest): MockResult | undefined {
    const driver = this.drivers[index]!;
    driver.add(request);
    this.kick(index);
    const result = driver.take();
    driver.wantInterrupt(true);
    return result;
  }

  /** Makes a request that the device answers at once. */
  request(index: number, request: MockRequest): MockResult {
    const result = this.tryRequest(index, request);
    if (result === undefined)
      throw new Error(`no answer; ${this.#queues[index]?.broken?.message ?? 'the queue is well'}`);
    return result;
  }

  /** The queue ends; a new one goes on where it stopped. */
  restart(index: number): void {
    const queue = this.#queues[index]!;
    this.device.queueStopping?.(index, queue);
    this.#queues[index] = this.drivers[index]!.open(queue.base);
  }
}
