import type { BusDevice } from '../../devices/bus.ts';
import { type FeatureSet, hasFeature, VIRTIO_F_RING_PACKED } from '../../virtio/features.ts';
import * as at from './layout.ts';
import type { VirtioPciState } from './virtio-pci-state.ts';

/** What of a device the common configuration tells the driver. */
export interface CommonConfigDevice {
  readonly features: FeatureSet;
  /** For each queue the largest size that the driver may choose, a power of two up to 32768. */
  readonly maxQueueSizes: readonly number[];
  readonly msixVectors: number;
}

/** What the driver's writes make happen. */
export interface CommonConfigEvents {
  statusWritten(value: number): void;
  queueVectorChanged(queue: number): void;
}

/** The registers, by their width in bytes. */
const BYTES = [at.DEVICE_STATUS, at.CONFIG_GENERATION];
const WORDS = [
  at.CONFIG_MSIX_VECTOR,
  at.NUM_QUEUES,
  at.QUEUE_SELECT,
  at.QUEUE_SIZE,
  at.QUEUE_MSIX_VECTOR,
  at.QUEUE_ENABLE,
  at.QUEUE_NOTIFY_OFF,
];
const WIDTHS = new Uint8Array(at.COMMON.length);
for (let offset = 0; offset < WIDTHS.length; offset += 4) WIDTHS[offset] = 4;
for (const offset of WORDS) WIDTHS[offset] = 2;
for (const offset of BYTES) WIDTHS[offset] = 1;

/**
 * The registers of the common configuration (VIRTIO 1.3, 4.1.4.3). They are accessed at their width; the 64-bit ones
 * whole or in halves. Anything else reads as zero and is not written. All of it is called under the lock of the state.
 */
export class CommonConfig implements BusDevice {
  readonly #state: InstanceType<typeof VirtioPciState>;
  readonly #device: CommonConfigDevice;
  readonly #events: CommonConfigEvents;

  constructor(state: InstanceType<typeof VirtioPciState>, device: CommonConfigDevice, events: CommonConfigEvents) {
    this.#state = state;
    this.#device = device;
    this.#events = events;
  }

  /** The values after a reset. */
  reset(): void {
    const s = this.#state;
    s.deviceFeatureSelect = 0;
    s.driverFeatureSelect = 0;
    s.driverFeatures.fill(0);
    s.configVector = at.NO_VECTOR;
    s.queueSelect = 0;
    s.queueSize.set(this.#device.maxQueueSizes);
    s.queueVector.fill(at.NO_VECTOR);
    for (const field of [s.queueEnabled, s.queueDesc, s.queueDriver, s.queueDevice]) field.fill(0);
  }

  read(offset: number, data: Uint8Array): void {
    data.fill(0);
    if (data.length === 8 && offset >= at.QUEUE_DESC && offset % 8 === 0) {
      store(data, 0, 4, this.#read(offset));
      store(data, 4, 4, this.#read(offset + 4));
    } else if (WIDTHS[offset] === data.length) {
      store(data, 0, data.length, this.#read(offset));
    }
  }

  write(offset: number, data: Uint8Array): void {
    if (data.length === 8 && offset >= at.QUEUE_DESC && offset % 8 === 0) {
      this.#write(offset, load(data, 0, 4));
      this.#write(offset + 4, load(data, 4, 4));
    } else if (WIDTHS[offset] === data.length) {
      this.#write(offset, load(data, 0, data.length));
    }
  }

  #read(offset: number): number {
    const s = this.#state;
    const { features, maxQueueSizes } = this.#device;
    switch (offset) {
      case at.DEVICE_FEATURE_SELECT:
        return s.deviceFeatureSelect;
      case at.DEVICE_FEATURE:
        return Number(BigInt.asUintN(32, features >> (32n * BigInt(s.deviceFeatureSelect))));
      case at.DRIVER_FEATURE_SELECT:
        return s.driverFeatureSelect;
      case at.DRIVER_FEATURE:
        return s.driverFeatures[s.driverFeatureSelect] ?? 0;
      case at.CONFIG_MSIX_VECTOR:
        return s.configVector;
      case at.NUM_QUEUES:
        return maxQueueSizes.length;
      case at.DEVICE_STATUS:
        return s.status;
      case at.CONFIG_GENERATION:
        return Atomics.load(s.configVersion, 0);
      case at.QUEUE_SELECT:
        return s.queueSelect;
      default:
        return s.queueSelect < maxQueueSizes.length ? this.#readQueue(offset, s.queueSelect) : 0;
    }
  }

  #readQueue(offset: number, queue: number): number {
    const s = this.#state;
    switch (offset) {
      case at.QUEUE_SIZE:
        return s.queueSize[queue]!;
      case at.QUEUE_MSIX_VECTOR:
        return s.queueVector[queue]!;
      case at.QUEUE_ENABLE:
        return s.queueEnabled[queue]!;
      case at.QUEUE_NOTIFY_OFF:
        return queue;
      default:
        return this.#addresses(offset)[2 * queue + half(offset)]!;
    }
  }

  #write(offset: number, value: number): void {
    const s = this.#state;
    switch (offset) {
      case at.DEVICE_FEATURE_SELECT:
        s.deviceFeatureSelect = value;
        break;
      case at.DRIVER_FEATURE_SELECT:
        s.driverFeatureSelect = value;
        break;
      case at.DRIVER_FEATURE:
        // What was agreed on stays.
        if ((s.status & at.FEATURES_OK) === 0) s.driverFeatures[s.driverFeatureSelect] = value;
        break;
      case at.CONFIG_MSIX_VECTOR:
        s.configVector = this.#vector(value);
        break;
      case at.DEVICE_STATUS:
        this.#events.statusWritten(value);
        break;
      case at.QUEUE_SELECT:
        s.queueSelect = value;
        break;
      default:
        if (s.queueSelect < this.#device.maxQueueSizes.length) this.#writeQueue(offset, s.queueSelect, value);
    }
  }

  #writeQueue(offset: number, queue: number, value: number): void {
    const s = this.#state;
    if (offset === at.QUEUE_MSIX_VECTOR) {
      s.queueVector[queue] = this.#vector(value);
      this.#events.queueVectorChanged(queue);
      return;
    }
    // An enabled queue stays as it is until the reset, and after DRIVER_OK none is added.
    if (s.queueEnabled[queue] !== 0 || (s.status & at.DRIVER_OK) !== 0) return;
    if (offset === at.QUEUE_SIZE) {
      if (this.#isSize(queue, value)) s.queueSize[queue] = value;
    } else if (offset === at.QUEUE_ENABLE) {
      if (value === 1 && (s.status & at.FEATURES_OK) !== 0) s.queueEnabled[queue] = 1;
    } else if (offset >= at.QUEUE_DESC) {
      this.#addresses(offset)[2 * queue + half(offset)] = value;
    }
  }

  /** Split rings have a power of two of entries (2.7.1), packed ones any number (2.8). */
  #isSize(queue: number, size: number): boolean {
    if (size === 0 || size > this.#device.maxQueueSizes[queue]!) return false;
    return (size & (size - 1)) === 0 || hasFeature(this.#device.features, VIRTIO_F_RING_PACKED);
  }

  /** A vector that there is not reads back as none, which tells the driver (4.1.5.1.2.1). */
  #vector(value: number): number {
    return value < this.#device.msixVectors ? value : at.NO_VECTOR;
  }

  #addresses(offset: number): Uint32Array {
    if (offset >= at.QUEUE_DEVICE) return this.#state.queueDevice;
    return offset >= at.QUEUE_DRIVER ? this.#state.queueDriver : this.#state.queueDesc;
  }
}

/** 0 for the low dword of a 64-bit register, 1 for the high one. */
function half(offset: number): number {
  return (offset >> 2) & 1;
}

function store(data: Uint8Array, from: number, width: number, value: number): void {
  for (let i = 0; i < width; i++) data[from + i] = value >>> (8 * i);
}

function load(data: Uint8Array, from: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value |= data[from + i]! << (8 * i);
  return value >>> 0;
}
