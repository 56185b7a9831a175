import type { HostMemory } from '../../memory/scatter-list.ts';
import { DeviceMemory, DeviceRegion } from '../queue/device-memory.ts';
import type { RingAddresses, RingFeatures, Virtqueue } from '../queue/virtqueue.ts';
import { PackedDriver } from './packed-driver.ts';
import { SplitDriver } from './split-driver.ts';

/** What lies between the addresses of the guest and those of the front end, which are not the same. */
const USER_OFFSET = 0x7f00_0000_0000;

export type RingFormat = 'split' | 'packed';
export const RING_FORMATS: readonly RingFormat[] = ['split', 'packed'];

/** A request as a driver makes it: bytes for the device to read, and how many it may write. */
export interface MockRequest {
  readonly readable?: readonly Uint8Array[];
  readonly writable?: readonly number[];
  /** Through an indirect table. */
  readonly indirect?: boolean;
}

/** A request that the device has given back. */
export interface MockResult {
  readonly id: number;
  /** What the device says that it wrote. */
  readonly written: number;
  /** All of the writable part. */
  readonly data: Uint8Array;
}

/** The driver's end of a queue. */
export interface MockDriver {
  readonly addresses: RingAddresses;
  /** Makes a request available and returns its id. */
  add(request: MockRequest): number;
  /** The next request that came back. */
  take(): MockResult | undefined;
  /** Whether the driver has to kick for what it made available since this was last asked. */
  needsKick(): boolean;
  /** Asks for an interrupt with the next request that comes back, or for none. */
  wantInterrupt(on: boolean): void;
  /** The device's end of the queue. `base` is where it starts; from the beginning without it. */
  open(base?: number): Virtqueue;
}

/** A guest without a processor: memory, and drivers that share it. */
export class MockGuest {
  readonly gpa: number;
  readonly size: number;
  readonly memory = new DeviceMemory();
  readonly region: DeviceRegion;
  #next: number;

  /** `memory` is the guest's; heap of 1 MiB without it, which system calls cannot reach. */
  constructor(memory: HostMemory = { bytes: new Uint8Array(1 << 20), address: 0 }, gpa = 0x10_0000) {
    this.gpa = gpa;
    this.size = memory.bytes.length;
    this.region = new DeviceRegion(gpa, gpa + USER_OFFSET, memory);
    this.memory.replace([this.region]);
    this.#next = gpa;
  }

  /** The guest address of `length` bytes that nobody else has. */
  allocate(length: number, alignment = 16): number {
    const gpa = Math.ceil(this.#next / alignment) * alignment;
    this.#next = gpa + length;
    if (this.#next > this.gpa + this.size) throw new RangeError('the mock guest has no memory left');
    return gpa;
  }

  /** The guest address of a copy of `bytes`. */
  place(bytes: Uint8Array): number {
    const gpa = this.allocate(bytes.length, 1);
    this.bytes(gpa, bytes.length).set(bytes);
    return gpa;
  }

  bytes(gpa: number, length: number): Uint8Array {
    return this.region.bytes.subarray(gpa - this.gpa, gpa - this.gpa + length);
  }

  view(gpa: number, length: number): DataView {
    const bytes = this.bytes(gpa, length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  userAddress(gpa: number): number {
    return gpa + USER_OFFSET;
  }

  /** A queue of this guest, seen by its driver. */
  driver(format: RingFormat, size: number, features: Partial<RingFeatures> = {}): MockDriver {
    const all = { eventIdx: false, indirect: false, ...features };
    return format === 'split' ? new SplitDriver(this, size, all) : new PackedDriver(this, size, all);
  }
}
