import { DESCRIPTOR_SIZE, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT } from '../queue/descriptor-chain.ts';
import { PACKED_START, PackedQueue } from '../queue/packed-queue.ts';
import { passed, type RingAddresses, type RingFeatures } from '../queue/virtqueue.ts';
import { type MockBuffer, placeRequest, writtenData } from './buffers.ts';
import type { MockDriver, MockGuest, MockRequest, MockResult } from './mock-guest.ts';

const AVAIL = 1 << 7;
const USED = 1 << 15;
const DISABLE = 1;
const DESC = 2;

/** The driver of a packed queue. Its parts are open, for tests that break the rules. */
export class PackedDriver implements MockDriver {
  readonly addresses: RingAddresses;
  readonly ring: DataView;
  /** Event suppression structures: what the driver says, and what the device says. */
  readonly driver: DataView;
  readonly device: DataView;
  readonly size: number;
  readonly #guest: MockGuest;
  readonly #features: RingFeatures;
  readonly #pending = new Map<number, { slots: number; buffers: MockBuffer[] }>();
  #nextId = 100;
  #nextAvailable = 0;
  #availableWrap = true;
  #unkicked = 0;
  #nextUsed = 0;
  #usedWrap = true;

  constructor(guest: MockGuest, size: number, features: RingFeatures) {
    this.#guest = guest;
    this.size = size;
    this.#features = features;
    const ring = guest.allocate(DESCRIPTOR_SIZE * size);
    const driver = guest.allocate(4);
    const device = guest.allocate(4);
    this.ring = guest.view(ring, DESCRIPTOR_SIZE * size);
    this.driver = guest.view(driver, 4);
    this.device = guest.view(device, 4);
    this.addresses = {
      descriptor: guest.userAddress(ring),
      driver: guest.userAddress(driver),
      device: guest.userAddress(device),
    };
  }

  add(request: MockRequest): number {
    const buffers = placeRequest(this.#guest, request);
    const list = request.indirect ? [this.#indirect(buffers)] : buffers;
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) & 0xffff;
    this.#pending.set(id, { slots: list.length, buffers });
    // The flags of the first descriptor make the whole list available, so they come last.
    const places = list.map((_, i) => (this.#nextAvailable + i) % this.size);
    const wraps = list.map((_, i) => this.#availableWrap === this.#nextAvailable + i < this.size);
    for (let i = list.length - 1; i >= 0; i--) {
      const next = i === list.length - 1 ? 0 : VIRTQ_DESC_F_NEXT;
      this.setDescriptor(places[i]!, list[i]!, id, list[i]!.flags | next | (wraps[i] ? AVAIL : USED));
    }
    this.#unkicked += list.length;
    this.#nextAvailable += list.length;
    if (this.#nextAvailable >= this.size) {
      this.#nextAvailable -= this.size;
      this.#availableWrap = !this.#availableWrap;
    }
    return id;
  }

  take(): MockResult | undefined {
    const at = DESCRIPTOR_SIZE * this.#nextUsed;
    const flags = this.ring.getUint16(at + 14, true);
    if (((flags & AVAIL) !== 0) !== this.#usedWrap || ((flags & USED) !== 0) !== this.#usedWrap) return undefined;
    const id = this.ring.getUint16(at + 12, true);
    const { slots, buffers } = this.#pending.get(id)!;
    this.#pending.delete(id);
    this.#nextUsed += slots;
    if (this.#nextUsed >= this.size) {
      this.#nextUsed -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
    return { id, written: this.ring.getUint32(at + 8, true), data: writtenData(this.#guest, buffers) };
  }

  needsKick(): boolean {
    const slots = this.#unkicked;
    this.#unkicked = 0;
    const flags = this.device.getUint16(2, true);
    if (slots === 0 || flags === DISABLE) return false;
    if (flags !== DESC) return true;
    const place = this.device.getUint16(0, true);
    const event = (place & 0x7fff) - (place >>> 15 === Number(this.#availableWrap) ? 0 : this.size);
    return passed(event, this.#nextAvailable, this.#nextAvailable - slots);
  }

  wantInterrupt(on: boolean): void {
    if (this.#features.eventIdx && on) {
      this.driver.setUint16(0, this.#nextUsed | (Number(this.#usedWrap) << 15), true);
      this.driver.setUint16(2, DESC, true);
    } else {
      this.driver.setUint16(2, on ? 0 : DISABLE, true);
    }
  }

  open(base = PACKED_START): PackedQueue {
    return new PackedQueue(this.#guest.memory, this.size, this.addresses, this.#features, base);
  }

  /** Writes one descriptor, whatever it says. */
  setDescriptor(index: number, { gpa, length }: Omit<MockBuffer, 'flags'>, id: number, flags: number): void {
    writeDescriptor(this.ring, index, gpa, length, id, flags);
  }

  #indirect(buffers: readonly MockBuffer[]): MockBuffer {
    const length = DESCRIPTOR_SIZE * buffers.length;
    const gpa = this.#guest.allocate(length);
    const table = this.#guest.view(gpa, length);
    for (const [i, buffer] of buffers.entries()) {
      writeDescriptor(table, i, buffer.gpa, buffer.length, 0, buffer.flags);
    }
    return { gpa, length, flags: VIRTQ_DESC_F_INDIRECT };
  }
}

function writeDescriptor(table: DataView, index: number, gpa: number, length: number, id: number, flags: number) {
  const at = DESCRIPTOR_SIZE * index;
  table.setBigUint64(at, BigInt(gpa), true);
  table.setUint32(at + 8, length, true);
  table.setUint16(at + 12, id, true);
  table.setUint16(at + 14, flags, true);
}
