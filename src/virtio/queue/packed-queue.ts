import type { CrosvmError } from '../../errors.ts';
import { breakage, brokenRing } from './broken-ring.ts';
import {
  address,
  DESCRIPTOR_SIZE,
  type DescriptorChain,
  type TakenChain,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from './descriptor-chain.ts';
import type { DeviceMemory, RingPart } from './device-memory.ts';
import type { NotedDescriptor, PackedInflight, PackedPlace } from './packed-inflight.ts';
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
  notifies = true;
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
  /** Descriptors that were taken from the ring and not given back. */
  #underWay = 0;
  /** The one that is read from the in-flight area. */
  readonly #noted: NotedDescriptor = { address: 0, length: 0, flags: 0 };
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
    const again = this.#inflight?.slotsAgain ?? 0;
    const index = this.#nextAvailable - again;
    const available =
      index >= 0
        ? index | (this.#availableWrap << WRAP_SHIFT)
        : (index + this.size) | ((this.#availableWrap ^ 1) << WRAP_SHIFT);
    const used = this.#nextUsed | (this.#usedWrap << WRAP_SHIFT);
    return (available | (used << 16)) >>> 0;
  }

  pop(chain: DescriptorChain): boolean {
    if (this.broken !== undefined) return false;
    try {
      const again = this.#inflight?.nextAgain() ?? -1;
      if (again !== -1) this.#readNoted(chain, again);
      else if (this.#hasNext()) this.#readChain(chain);
      else return false;
      return true;
    } catch (error) {
      this.broken = breakage(error);
      return false;
    }
  }

  push(chain: TakenChain, written: number): void {
    const inflight = this.#inflight;
    const place = this.#flagsPlace();
    inflight?.returning(chain.note);
    const flags = this.#writeUsed(chain, written);
    inflight?.moving(this.#nextUsed, this.#usedWrap);
    Atomics.store(this.#ring.region.halfWords, place, flags);
    this.#returned(chain);
    inflight?.moved(this.#nextUsed, this.#usedWrap);
  }

  /** A driver looks at the first one first, so that one becomes visible last. */
  pushTogether(chains: readonly TakenChain[], written: readonly number[], count: number): void {
    if (this.#inflight !== undefined) this.#announce(this.#inflight, chains, count);
    const first = this.#flagsPlace();
    const firstFlags = this.#writeUsed(chains[0]!, written[0]!);
    for (let i = 1; i < count; i++) {
      const place = this.#flagsPlace();
      Atomics.store(this.#ring.region.halfWords, place, this.#writeUsed(chains[i]!, written[i]!));
    }
    Atomics.store(this.#ring.region.halfWords, first, firstFlags);
    for (let i = 0; i < count; i++) this.#returned(chains[i]!);
    this.#inflight?.moved(this.#nextUsed, this.#usedWrap);
  }

  unpop(chain: TakenChain): void {
    if (this.#inflight !== undefined) {
      this.#inflight.untaken(chain.note);
      return;
    }
    this.#underWay -= chain.slots;
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

  get hasNext(): boolean {
    return this.broken === undefined && this.#hasNext();
  }

  get isBusy(): boolean {
    return this.#underWay > 0;
  }

  disableNotification(): void {
    this.notifies = false;
    this.#setDeviceFlags(RING_EVENT_FLAGS_DISABLE);
  }

  enableNotification(): boolean {
    if (this.broken !== undefined) return false;
    this.notifies = true;
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
  #writeUsed(chain: TakenChain, written: number): number {
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

  /** Notes that requests are to be given back, before the ring shows anything of it. */
  #announce(inflight: PackedInflight, chains: readonly TakenChain[], count: number): void {
    let slots = 0;
    for (let i = 0; i < count; i++) {
      inflight.returning(chains[i]!.note);
      slots += chains[i]!.slots;
    }
    const index = this.#nextUsed + slots;
    if (index < this.size) inflight.moving(index, this.#usedWrap);
    else inflight.moving(index - this.size, this.#usedWrap ^ 1);
  }

  #returned(chain: TakenChain): void {
    this.#underWay -= chain.slots;
    this.#inflight?.returned(chain.note);
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
    this.#inflight?.begin();
    const { region, offset } = this.#ring;
    const { view } = region;
    let index = this.#nextAvailable;
    for (let flags = VIRTQ_DESC_F_NEXT; (flags & VIRTQ_DESC_F_NEXT) !== 0; ) {
      if (this.#underWay + chain.slots === this.size)
        throw brokenRing('more descriptors are under way than the ring has');
      const at = offset + index * DESCRIPTOR_SIZE;
      const gpa = address(view, at);
      const length = view.getUint32(at + 8, true);
      const tail = view.getUint32(at + 12, true);
      flags = tail >>> 16;
      chain.slots++;
      // The driver writes it to the last descriptor of a chain.
      chain.id = tail & 0xffff;
      index = index + 1 === this.size ? 0 : index + 1;
      this.#addDescriptor(chain, gpa, length, flags);
      this.#inflight?.add(gpa, length, flags);
    }
    chain.note = this.#inflight?.taken(chain.id) ?? 0;
    this.#advance(chain.slots);
  }

  /** Reads a request that was taken from the ring before. */
  #readNoted(chain: DescriptorChain, note: number): void {
    const inflight = this.#inflight!;
    const descriptor = this.#noted;
    const slots = inflight.count(note);
    chain.clear();
    chain.id = inflight.id(note);
    chain.note = note;
    for (let at = note; chain.slots < slots; ) {
      at = inflight.read(at, descriptor);
      chain.slots++;
      this.#addDescriptor(chain, descriptor.address, descriptor.length, descriptor.flags);
    }
  }

  /** Descriptors have been taken from the ring. */
  #advance(slots: number): void {
    this.#underWay += slots;
    this.#nextAvailable += slots;
    if (this.#nextAvailable < this.size) return;
    this.#nextAvailable -= this.size;
    this.#availableWrap ^= 1;
  }

  #addDescriptor(chain: DescriptorChain, gpa: number, length: number, flags: number): void {
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

  /** Goes on where a predecessor was. What it had taken and not given back lies between the two places. */
  #succeed(inflight: PackedInflight): void {
    const start = { index: this.#nextUsed, wrap: this.#usedWrap };
    const isAvailable = ({ index, wrap }: PackedPlace) => index < this.size && this.#isAvailable(index, wrap);
    const { used, marked } = inflight.recover(start, isAvailable);
    this.#nextUsed = this.#nextAvailable = used.index;
    this.#usedWrap = this.#availableWrap = used.wrap;
    this.#mustBeInRing();
    this.#unmark(marked, inflight.slotsAgain);
    inflight.recovered(used);
    this.#advance(inflight.slotsAgain);
  }

  /**
   * Descriptors behind the next used one look available again, up to `end` and at most `slots` with that one: the
   * predecessor may have begun to give several requests back at once.
   */
  #unmark(end: PackedPlace, slots: number): void {
    const isMoving = end.index !== this.#nextUsed || end.wrap !== this.#usedWrap;
    for (let i = 1; isMoving && i < slots; i++) {
      const wraps = this.#nextUsed + i >= this.size;
      const index = this.#nextUsed + i - (wraps ? this.size : 0);
      if (index === end.index) return;
      const flags = wraps === (this.#usedWrap === 0) ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
      const at = this.#ring.offset + index * DESCRIPTOR_SIZE + DESCRIPTOR_FLAGS;
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
