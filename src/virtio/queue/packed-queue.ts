import type { CrosvmError } from '../../errors.ts';
import { breakage, brokenRing } from './broken-ring.ts';
import {
  address,
  DESCRIPTOR_SIZE,
  type DescriptorChain,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from './descriptor-chain.ts';
import type { DeviceMemory, RingPart } from './device-memory.ts';
import type { PackedInflight } from './packed-inflight.ts';
import { passed, type RingAddresses, type RingFeatures, type Virtqueue } from './virtqueue.ts';

const VIRTQ_DESC_F_AVAIL = 1 << 7;
const VIRTQ_DESC_F_USED = 1 << 15;

/** Where the flags of a descriptor are, and of an event suppression structure. */
const DESCRIPTOR_FLAGS = 14;
const EVENT_FLAGS = 2;
const EVENT_SIZE = 4;

const RING_EVENT_FLAGS_ENABLE = 0;
const RING_EVENT_FLAGS_DISABLE = 1;
const RING_EVENT_FLAGS_DESC = 2;

/** In a base and in an event suppression structure: an index, with the wrap counter above it. */
const INDEX_MASK = 0x7fff;
const WRAP_SHIFT = 15;

/** The base of a packed ring nobody has used: both indices 0, both wrap counters 1. */
export const PACKED_START = 0x8000_8000;

/** A packed virtqueue (VIRTIO 1.3, 2.8). */
export class PackedQueue implements Virtqueue {
  readonly size: number;
  broken: CrosvmError | undefined;
  readonly #memory: DeviceMemory;
  readonly #addresses: RingAddresses;
  readonly #features: RingFeatures;
  readonly #inflight: PackedInflight | undefined;
  #ring!: RingPart;
  #driver!: RingPart;
  #device!: RingPart;
  #nextAvailable: number;
  #availableWrap: number;
  #nextUsed: number;
  #usedWrap: number;
  /** Descriptors given back since the driver was last considered for an interrupt. */
  #unsignalled = 0;

  /**
   * `size` is 1 to MAX_QUEUE_SIZE; `base` has the next available descriptor in its low and the next used one in its
   * high half. With `inflight`, a queue that has a predecessor goes on where that one was. Throws `E_VIRTQUEUE` when the
   * ring is not in memory or the base not in the ring.
   */
  constructor(
    memory: DeviceMemory,
    size: number,
    addresses: RingAddresses,
    features: RingFeatures,
    base: number,
    inflight?: PackedInflight,
  ) {
    this.#memory = memory;
    this.size = size;
    this.#addresses = addresses;
    this.#features = features;
    this.#nextAvailable = base & INDEX_MASK;
    this.#availableWrap = (base >>> WRAP_SHIFT) & 1;
    this.#nextUsed = (base >>> 16) & INDEX_MASK;
    this.#usedWrap = base >>> 31;
    this.#inflight = inflight;
    this.#mustBeInRing();
    this.#locate();
    if (inflight !== undefined) this.#succeed(inflight);
  }

  get base(): number {
    // What waits to be done again is all that is under way when a queue ends.
    const isWaiting = this.#inflight !== undefined && this.#inflight.waiting > 0;
    const available = isWaiting ? this.#usedPlace() : this.#nextAvailable | (this.#availableWrap << WRAP_SHIFT);
    return (available | (this.#usedPlace() << 16)) >>> 0;
  }

  pop(chain: DescriptorChain): boolean {
    if (this.broken !== undefined) return false;
    try {
      const again = this.#inflight?.nextAgain() ?? -1;
      if (again !== -1) this.#readAgain(chain, again);
      else if (this.#hasNext()) this.#readChain(chain);
      else return false;
      return true;
    } catch (error) {
      this.broken = breakage(error);
      return false;
    }
  }

  push(chain: DescriptorChain, written: number): void {
    const inflight = this.#inflight;
    const flagsPlace = this.#flagsPlace();
    const flags = this.#writeUsed(chain, written);
    inflight?.returning(chain.entry);
    inflight?.moving(this.#usedPlace());
    Atomics.store(this.#ring.region.halfWords, flagsPlace, flags);
    inflight?.returned(chain.entry, chain.slots);
    inflight?.moved(this.#usedPlace());
  }

  /** A driver looks at the first one first, so that one becomes visible last. */
  pushTogether(chains: readonly DescriptorChain[], written: readonly number[], count: number): void {
    const inflight = this.#inflight;
    if (inflight !== undefined) this.#announce(inflight, chains, count);
    const first = this.#flagsPlace();
    const firstFlags = this.#writeUsed(chains[0]!, written[0]!);
    for (let i = 1; i < count; i++) {
      const flagsPlace = this.#flagsPlace();
      Atomics.store(this.#ring.region.halfWords, flagsPlace, this.#writeUsed(chains[i]!, written[i]!));
    }
    Atomics.store(this.#ring.region.halfWords, first, firstFlags);
    if (inflight === undefined) return;
    for (let i = 0; i < count; i++) inflight.returned(chains[i]!.entry, chains[i]!.slots);
    inflight.moved(this.#usedPlace());
  }

  unpop(chain: DescriptorChain): void {
    if (chain.again) {
      this.#inflight!.putBack(chain.entry);
      return;
    }
    this.#inflight?.untaken(chain.entry, chain.slots);
    this.#nextAvailable -= chain.slots;
    if (this.#nextAvailable >= 0) return;
    this.#nextAvailable += this.size;
    this.#availableWrap ^= 1;
  }

  needsInterrupt(): boolean {
    const slots = this.#unsignalled;
    if (slots === 0) return false;
    this.#unsignalled = 0;
    const { region, offset } = this.#driver;
    const flags = Atomics.load(region.halfWords, (offset + EVENT_FLAGS) >> 1) & 3;
    if (flags === RING_EVENT_FLAGS_DISABLE) return false;
    if (flags !== RING_EVENT_FLAGS_DESC || !this.#features.eventIdx || slots >= this.size) return true;
    const place = Atomics.load(region.halfWords, offset >> 1);
    // A place with the other wrap counter is one round behind.
    const event = (place & INDEX_MASK) - (place >>> WRAP_SHIFT === this.#usedWrap ? 0 : this.size);
    return passed(event, this.#nextUsed, this.#nextUsed - slots);
  }

  disableNotification(): void {
    this.#setDeviceFlags(RING_EVENT_FLAGS_DISABLE);
  }

  enableNotification(): boolean {
    if (this.broken !== undefined) return false;
    if (this.#features.eventIdx) {
      const { region, offset } = this.#device;
      Atomics.store(region.halfWords, offset >> 1, this.#nextAvailable | (this.#availableWrap << WRAP_SHIFT));
      this.#setDeviceFlags(RING_EVENT_FLAGS_DESC);
    } else {
      this.#setDeviceFlags(RING_EVENT_FLAGS_ENABLE);
    }
    return this.#hasNext();
  }

  relocate(): void {
    try {
      this.#locate();
    } catch (error) {
      this.broken = breakage(error);
    }
  }

  /** Where the flags of the next used descriptor are, in half words. */
  #flagsPlace(): number {
    return (this.#ring.offset + this.#nextUsed * DESCRIPTOR_SIZE + DESCRIPTOR_FLAGS) >> 1;
  }

  /** Fills the next used descriptor but for its flags, which are returned. */
  #writeUsed(chain: DescriptorChain, written: number): number {
    const { view } = this.#ring.region;
    const at = this.#ring.offset + this.#nextUsed * DESCRIPTOR_SIZE;
    view.setUint32(at + 8, written, true);
    view.setUint16(at + 12, chain.id, true);
    const mark = this.#usedWrap === 1 ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
    this.#unsignalled += chain.slots;
    this.#nextUsed += chain.slots;
    if (this.#nextUsed >= this.size) {
      this.#nextUsed -= this.size;
      this.#usedWrap ^= 1;
    }
    return mark | (written > 0 ? VIRTQ_DESC_F_WRITE : 0);
  }

  /** Notes that these requests are to be given back. */
  #announce(inflight: PackedInflight, chains: readonly DescriptorChain[], count: number): void {
    let slots = 0;
    for (let i = 0; i < count; i++) {
      slots += chains[i]!.slots;
      inflight.returning(chains[i]!.entry);
    }
    inflight.moving(this.#behind(this.#usedPlace(), slots));
  }

  /** The next used descriptor, with the wrap counter above its index. */
  #usedPlace(): number {
    return this.#nextUsed | (this.#usedWrap << WRAP_SHIFT);
  }

  /** The place so many descriptors, at most a round, behind another. */
  #behind(place: number, slots: number): number {
    const index = (place & INDEX_MASK) + slots;
    const wrap = place >>> WRAP_SHIFT;
    return index < this.size ? index | (wrap << WRAP_SHIFT) : (index - this.size) | ((wrap ^ 1) << WRAP_SHIFT);
  }

  #hasNext(): boolean {
    return this.#isAvailable(this.#nextAvailable, this.#availableWrap);
  }

  /** Whether a descriptor is available in a round: its two bits differ, and the one for available is as the wrap counter. */
  #isAvailable(index: number, wrap: number): boolean {
    const { region, offset } = this.#ring;
    const flags = Atomics.load(region.halfWords, (offset + index * DESCRIPTOR_SIZE + DESCRIPTOR_FLAGS) >> 1);
    const available = (flags & VIRTQ_DESC_F_AVAIL) !== 0;
    return available === (wrap === 1) && available !== ((flags & VIRTQ_DESC_F_USED) !== 0);
  }

  #readChain(chain: DescriptorChain): void {
    chain.clear();
    const inflight = this.#inflight;
    const { region, offset } = this.#ring;
    const { view } = region;
    let index = this.#nextAvailable;
    let entry = -1;
    for (let flags = VIRTQ_DESC_F_NEXT; (flags & VIRTQ_DESC_F_NEXT) !== 0; ) {
      if (chain.slots === this.size) throw brokenRing('a chain has more descriptors than the ring');
      const at = offset + index * DESCRIPTOR_SIZE;
      const gpa = address(view, at);
      const length = view.getUint32(at + 8, true);
      const tail = view.getUint32(at + 12, true);
      flags = tail >>> 16;
      index = index + 1 === this.size ? 0 : index + 1;
      this.#addDescriptor(chain, gpa, length, tail & 0xffff, flags);
      if (inflight === undefined) continue;
      entry = inflight.copy(entry, view, at);
      if (chain.slots === 1) chain.entry = entry;
    }
    inflight?.taken(chain.entry, chain.slots);
    if (index <= this.#nextAvailable) this.#availableWrap ^= 1;
    this.#nextAvailable = index;
  }

  /** Reads a request that was taken before from where its descriptors were copied to. */
  #readAgain(chain: DescriptorChain, head: number): void {
    const inflight = this.#inflight!;
    chain.clear();
    chain.again = true;
    chain.entry = head;
    let entry = head;
    for (let left = inflight.count(head); ; entry = inflight.next(entry)) {
      const { gpa, length, id, flags } = inflight.descriptor(entry);
      this.#addDescriptor(chain, gpa, length, id, flags);
      if (--left === 0) return;
    }
  }

  /** Adds what is in the ring; the driver writes the id to the last descriptor of a chain. */
  #addDescriptor(chain: DescriptorChain, gpa: number, length: number, id: number, flags: number): void {
    chain.slots++;
    chain.id = id;
    if ((flags & VIRTQ_DESC_F_INDIRECT) === 0) chain.addDescriptor(this.#memory, gpa, length, flags);
    else this.#addIndirect(chain, gpa, length, flags);
  }

  #addIndirect(chain: DescriptorChain, gpa: number, length: number, flags: number): void {
    if (!this.#features.indirect) throw brokenRing('an indirect descriptor, which was not negotiated');
    if ((flags & VIRTQ_DESC_F_NEXT) !== 0 || chain.slots > 1)
      throw brokenRing('an indirect descriptor is part of a list');
    chain.addIndirect(this.#memory, gpa, length, false);
  }

  #mustBeInRing(): void {
    if (this.#nextAvailable < this.size && this.#nextUsed < this.size) return;
    throw brokenRing(`the base 0x${this.base.toString(16)} is beyond a queue of ${this.size}`);
  }

  /** Goes on where a predecessor was: all that it had taken and not given back is to be done again. */
  #succeed(inflight: PackedInflight): void {
    const isAvailable = (place: number) => {
      const index = place & INDEX_MASK;
      return index < this.size && this.#isAvailable(index, place >>> WRAP_SHIFT);
    };
    const { used, marked, slots } = inflight.recover(this.#usedPlace(), isAvailable);
    this.#nextUsed = used & INDEX_MASK;
    this.#usedWrap = used >>> WRAP_SHIFT;
    this.#mustBeInRing();
    this.#unmark(used, marked, slots);
    inflight.recovered();
    const available = this.#behind(used, slots);
    this.#nextAvailable = available & INDEX_MASK;
    this.#availableWrap = available >>> WRAP_SHIFT;
  }

  /** Makes descriptors behind `from` up to `to`, at most `slots` with the first, look as if none had been given back. */
  #unmark(from: number, to: number, slots: number): void {
    if (from === to) return;
    for (let i = 1; i < slots; i++) {
      const place = this.#behind(from, i);
      if (place === to) return;
      const at = this.#ring.offset + (place & INDEX_MASK) * DESCRIPTOR_SIZE + DESCRIPTOR_FLAGS;
      const flags = place >>> WRAP_SHIFT === 1 ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
      Atomics.store(this.#ring.region.halfWords, at >> 1, flags);
    }
  }

  #locate(): void {
    const { descriptor, driver, device } = this.#addresses;
    this.#ring = this.#memory.ringPart(descriptor, DESCRIPTOR_SIZE * this.size, 16, 'descriptor ring');
    this.#driver = this.#memory.ringPart(driver, EVENT_SIZE, 4, "driver's event suppression structure");
    this.#device = this.#memory.ringPart(device, EVENT_SIZE, 4, "device's event suppression structure");
  }

  #setDeviceFlags(flags: number): void {
    Atomics.store(this.#device.region.halfWords, (this.#device.offset + EVENT_FLAGS) >> 1, flags);
  }
}
