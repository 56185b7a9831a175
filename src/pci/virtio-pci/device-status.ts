import { type FeatureSet, hasFeature, VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from '../../virtio/features.ts';
import type { CommonConfigDevice } from './common-config.ts';
import * as at from './layout.ts';
import type { VirtioInterrupts } from './virtio-interrupts.ts';
import type { QueueSetup, VirtioLink } from './virtio-link.ts';
import type { VirtioPciState } from './virtio-pci-state.ts';

/** Bits that a driver sets. It clears them only all at once, by a reset. */
const DRIVER_BITS = at.ACKNOWLEDGE | at.DRIVER | at.FAILED;
const DESCRIPTOR_SIZE = 16;

export interface DeviceStatusDeps {
  readonly device: CommonConfigDevice;
  readonly link: VirtioLink;
  readonly interrupts: VirtioInterrupts;
  /** Whether guest memory has these bytes. */
  readonly isRam: (address: number, length: number) => boolean;
  /** The shared memory, if there is one. */
  readonly window?: { clear(): void } | undefined;
  /** Why the device cannot go on. */
  readonly report: (reason: string) => void;
}

/**
 * The life of a virtio device, as its status register tells it (VIRTIO 1.3, 2.1 and 3.1): features are agreed on, the
 * device starts, fails, and is reset. All of it is called under the lock of the state.
 */
export class DeviceStatus {
  readonly #state: InstanceType<typeof VirtioPciState>;
  readonly #deps: DeviceStatusDeps;
  readonly #resetRegisters: () => void;

  constructor(state: InstanceType<typeof VirtioPciState>, deps: DeviceStatusDeps, resetRegisters: () => void) {
    this.#state = state;
    this.#deps = deps;
    this.#resetRegisters = resetRegisters;
  }

  /** The driver wrote the status register. */
  write(value: number): void {
    const s = this.#state;
    if (value === 0) {
      this.#reset();
      return;
    }
    s.status |= value & DRIVER_BITS;
    // With a device that is gone there is nothing to agree on: the driver gives up here, and does not wait for answers.
    if (value & at.FEATURES_OK && !this.#deps.link.isGone() && this.#areFeaturesOffered()) s.status |= at.FEATURES_OK;
    if (value & at.DRIVER_OK && s.status & at.FEATURES_OK && !(s.status & at.DRIVER_OK)) {
      s.status |= at.DRIVER_OK;
      this.#start();
    }
  }

  /** Tells the device where the interrupts of queue `queue` go now. */
  updateInterrupt(queue: number): void {
    const s = this.#state;
    if (s.started === 0 || s.queueEnabled[queue] === 0) return;
    this.attempt(() => this.#deps.link.setInterrupt(queue, this.#deps.interrupts.route(s.queueVector[queue]!)));
  }

  get needsReset(): boolean {
    return (this.#state.status & at.DEVICE_NEEDS_RESET) !== 0;
  }

  /** A device that was lost has come back. If it was started it goes on, also where it was missed meanwhile. */
  restart(): void {
    const s = this.#state;
    s.status &= ~at.DEVICE_NEEDS_RESET;
    if (s.started === 0) return;
    this.attempt(() => this.#deps.link.restart(this.#driverFeatures(), this.#queues()));
  }

  /**
   * Runs something that needs the device; if that fails, the driver is told that only a reset helps. Of a device that is
   * away it hears nothing: it goes on when that is back.
   */
  attempt(action: () => void): void {
    if (this.needsReset) return;
    try {
      action();
    } catch (error) {
      if (!this.#deps.link.isAway()) this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** The device does not work any more until it is reset. */
  fail(reason: string): void {
    const s = this.#state;
    if (this.needsReset) return;
    s.status |= at.DEVICE_NEEDS_RESET;
    this.#deps.report(reason);
    if (s.status & at.DRIVER_OK) this.#deps.interrupts.configChanged(s.configVector);
  }

  #reset(): void {
    const s = this.#state;
    if (s.started !== 0) {
      try {
        this.#deps.link.stop();
      } catch (error) {
        // A device that failed before fails here too, and when it is started again.
        const isKnown = this.needsReset || this.#deps.link.isAway();
        if (!isKnown) this.#deps.report((error as Error).message);
      }
    }
    this.#deps.window?.clear();
    s.started = 0;
    s.status = 0;
    this.#resetRegisters();
    this.#deps.interrupts.acknowledge();
  }

  /** A driver may take only what was offered, and must know that this is no legacy device (6.1). */
  #areFeaturesOffered(): boolean {
    const chosen = this.#driverFeatures();
    return (chosen & ~this.#deps.device.features) === 0n && hasFeature(chosen, VIRTIO_F_VERSION_1);
  }

  #driverFeatures(): FeatureSet {
    const [low, high] = this.#state.driverFeatures;
    return BigInt(low!) | (BigInt(high!) << 32n);
  }

  #start(): void {
    let queues: QueueSetup[];
    try {
      queues = this.#queues();
    } catch (error) {
      this.fail((error as Error).message);
      return;
    }
    // Also if it fails half-way, and then has to be stopped, or if the device is away, and starts when it comes back.
    this.#state.started = 1;
    this.attempt(() => this.#deps.link.start(this.#driverFeatures(), queues));
  }

  #queues(): QueueSetup[] {
    const queues: QueueSetup[] = [];
    for (let i = 0; i < this.#deps.device.maxQueueSizes.length; i++) {
      if (this.#state.queueEnabled[i] !== 0) queues.push(this.#queue(i));
    }
    return queues;
  }

  #queue(index: number): QueueSetup {
    const s = this.#state;
    const size = s.queueSize[index]!;
    const isPacked = hasFeature(this.#driverFeatures(), VIRTIO_F_RING_PACKED);
    if (!isPacked && (size & (size - 1)) !== 0) throw new Error(`the driver gave queue ${index} ${size} entries`);
    // The rings' sizes and alignments: 2.7 (split; both rings with the word of event index), 2.8.10.1 (packed).
    const address = (words: Uint32Array, what: string, length: number, alignment: number) => {
      const gpa = words[2 * index]! + words[2 * index + 1]! * 0x1_0000_0000;
      if (gpa % alignment === 0 && this.#deps.isRam(gpa, length)) return gpa;
      throw new Error(`the driver put the ${what} of queue ${index} at 0x${gpa.toString(16)}`);
    };
    return {
      index,
      size,
      desc: address(s.queueDesc, 'descriptors', DESCRIPTOR_SIZE * size, DESCRIPTOR_SIZE),
      driver: address(s.queueDriver, 'driver area', isPacked ? 4 : 6 + 2 * size, isPacked ? 4 : 2),
      device: address(s.queueDevice, 'device area', isPacked ? 4 : 6 + 8 * size, 4),
      interrupt: this.#deps.interrupts.route(s.queueVector[index]!),
    };
  }
}
