import type { CrosvmError } from '../../errors.ts';
import { breakage, brokenRing } from './broken-ring.ts';
import {
  address,
  DESCRIPTOR_SIZE,
  type DescriptorChain,
  type TakenChain,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
} from './descriptor-chain.ts';
import type { DeviceMemory, RingPart } from './device-memory.ts';
import type { SplitInflight } from './split-inflight.ts';
import { MAX_QUEUE_SIZE, passed, type RingAddresses, type RingFeatures, type Virtqueue } from './virtqueue.ts';

const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
const VIRTQ_USED_F_NO_NOTIFY = 1;

/** Both rings start with u16 flags and u16 index. */
const INDEX = 2;
const RING = 4;
const USED_ELEMENT_SIZE = 8;

/** A split virtqueue (VIRTIO 1.3, 2.7). */
export class SplitQueue implements Virtqueue {
  readonly size: number;
  broken: CrosvmError | undefined;
  notifies = true;
  readonly #memory: DeviceMemory;
  readonly #addresses: RingAddresses;
  readonly #features: RingFeatures;
  readonly #inflight: SplitInflight | undefined;
  #table!: RingPart;
  #available!: RingPart;
  #used!: RingPart;
  /** Next entry of the available ring, modulo 2^16. */
  #nextAvailable: number;
  /** Next entry of the used ring, modulo 2^16. */
  #nextUsed: number;
  #signalledUsed: number;

  /**
   * `base` is the first available entry to take, `size` a power of two up to MAX_QUEUE_SIZE. With `inflight`, requests
   * that a predecessor took and did not give back come first. Throws `E_VIRTQUEUE` for another size, and when the ring
   * is not in memory.
   */
  constructor(
    memory: DeviceMemory,
    size: number,
    addresses: RingAddresses,
    features: RingFeatures,
    base: number,
    inflight?: SplitInflight,
  ) {
    if (size < 1 || size > MAX_QUEUE_SIZE || (size & (size - 1)) !== 0) throw brokenRing(`a queue has ${size} entries`);
    this.#memory = memory;
    this.size = size;
    this.#addresses = addresses;
    this.#features = features;
    this.#inflight = inflight;
    this.#locate();
    this.#nextUsed = this.#usedIndex();
    this.#signalledUsed = this.#nextUsed;
    this.#nextAvailable = (inflight === undefined ? base : this.#nextUsed + inflight.recover(this.#nextUsed)) & 0xffff;
  }

  get base(): number {
    return (this.#nextAvailable - (this.#inflight?.again ?? 0)) & 0xffff;
  }

  pop(chain: DescriptorChain): boolean {
    if (this.broken !== undefined) return false;
    try {
      const head = this.#nextHead();
      if (head === -1) return false;
      this.#readChain(chain, head);
      return true;
    } catch (error) {
      this.broken = breakage(error);
      return false;
    }
  }

  push(chain: TakenChain, written: number): void {
    this.#writeUsed(chain, written);
    this.#publish();
    this.#inflight?.returned(chain.id);
    this.#inflight?.moved(this.#nextUsed);
  }

  pushTogether(chains: readonly TakenChain[], written: readonly number[], count: number): void {
    for (let i = 0; i < count; i++) this.#writeUsed(chains[i]!, written[i]!);
    this.#publish();
    for (let i = 0; i < count; i++) this.#inflight?.returned(chains[i]!.id);
    this.#inflight?.moved(this.#nextUsed);
  }

  unpop(chain: TakenChain): void {
    if (this.#inflight !== undefined) this.#inflight.untaken(chain.id);
    else this.#nextAvailable = (this.#nextAvailable - 1) & 0xffff;
  }

  needsInterrupt(): boolean {
    const old = this.#signalledUsed;
    if (old === this.#nextUsed) return false;
    this.#signalledUsed = this.#nextUsed;
    const { region, offset } = this.#available;
    if (!this.#features.eventIdx) {
      return (Atomics.load(region.halfWords, offset >> 1) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const usedEvent = Atomics.load(region.halfWords, (offset + RING + 2 * this.size) >> 1);
    return passed(usedEvent, this.#nextUsed, old);
  }

  get hasNext(): boolean {
    if (this.broken !== undefined) return false;
    return (this.#inflight?.again ?? 0) > 0 || this.#availableIndex() !== this.#nextAvailable;
  }

  get isBusy(): boolean {
    return this.base !== this.#nextUsed;
  }

  disableNotification(): void {
    this.notifies = false;
    // An index that the driver has passed already asks for nothing.
    if (this.#features.eventIdx) this.#setAvailableEvent(this.#nextAvailable - 1);
    else this.#setUsedFlags(VIRTQ_USED_F_NO_NOTIFY);
  }

  enableNotification(): boolean {
    if (this.broken !== undefined) return false;
    this.notifies = true;
    if (this.#features.eventIdx) this.#setAvailableEvent(this.#nextAvailable);
    else this.#setUsedFlags(0);
    return this.hasNext;
  }

  relocate(): void {
    try {
      this.#locate();
    } catch (error) {
      this.broken = breakage(error);
    }
  }

  /** Fills the next entry of the used ring, which the driver does not see yet. */
  #writeUsed(chain: TakenChain, written: number): void {
    const { region, offset } = this.#used;
    const at = offset + RING + (this.#nextUsed & (this.size - 1)) * USED_ELEMENT_SIZE;
    region.view.setUint32(at, chain.id, true);
    region.view.setUint32(at + 4, written, true);
    this.#inflight?.returning(chain.id);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
  }

  #publish(): void {
    Atomics.store(this.#used.region.halfWords, (this.#used.offset + INDEX) >> 1, this.#nextUsed);
  }

  /** The next chain's first descriptor; -1 when there is none. */
  #nextHead(): number {
    const again = this.#inflight?.nextAgain() ?? -1;
    if (again !== -1) return again;
    const waiting = (this.#availableIndex() - this.#nextAvailable) & 0xffff;
    if (waiting === 0) return -1;
    if (waiting > this.size)
      throw brokenRing(`the available index is ${waiting} entries ahead in a queue of ${this.size}`);
    const { region, offset } = this.#available;
    const head = region.view.getUint16(offset + RING + 2 * (this.#nextAvailable & (this.size - 1)), true);
    if (head >= this.size) throw brokenRing(`the available ring names descriptor ${head} of ${this.size}`);
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    this.#inflight?.taken(head);
    return head;
  }

  #readChain(chain: DescriptorChain, head: number): void {
    chain.clear();
    chain.id = head;
    const { region, offset } = this.#table;
    const { view } = region;
    let index = head;
    // A loop ends as the chain has more descriptors than the table.
    for (let visited = 1; ; visited++) {
      const at = offset + index * DESCRIPTOR_SIZE;
      const gpa = address(view, at);
      const length = view.getUint32(at + 8, true);
      const tail = view.getUint32(at + 12, true);
      if ((tail & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (!this.#features.indirect) throw brokenRing('an indirect descriptor, which was not negotiated');
        if ((tail & VIRTQ_DESC_F_NEXT) !== 0) throw brokenRing('an indirect descriptor has a next one');
        chain.addIndirect(this.#memory, gpa, length, true);
        return;
      }
      chain.addDescriptor(this.#memory, gpa, length, tail & 0xffff);
      if ((tail & VIRTQ_DESC_F_NEXT) === 0) return;
      index = tail >>> 16;
      if (index >= this.size) throw brokenRing(`a chain goes on at descriptor ${index} of ${this.size}`);
      if (visited === this.size) throw brokenRing('a chain of descriptors is a loop');
    }
  }

  #locate(): void {
    const { descriptor, driver, device } = this.#addresses;
    // With the event index at the end of each ring.
    this.#table = this.#memory.ringPart(descriptor, DESCRIPTOR_SIZE * this.size, 16, 'descriptor table');
    this.#available = this.#memory.ringPart(driver, RING + 2 * this.size + 2, 2, 'available ring');
    this.#used = this.#memory.ringPart(device, RING + USED_ELEMENT_SIZE * this.size + 2, 4, 'used ring');
  }

  #availableIndex(): number {
    return Atomics.load(this.#available.region.halfWords, (this.#available.offset + INDEX) >> 1);
  }

  #usedIndex(): number {
    return Atomics.load(this.#used.region.halfWords, (this.#used.offset + INDEX) >> 1);
  }

  #setAvailableEvent(index: number): void {
    const { region, offset } = this.#used;
    Atomics.store(region.halfWords, (offset + RING + USED_ELEMENT_SIZE * this.size) >> 1, index);
  }

  #setUsedFlags(flags: number): void {
    Atomics.store(this.#used.region.halfWords, this.#used.offset >> 1, flags);
  }
}
