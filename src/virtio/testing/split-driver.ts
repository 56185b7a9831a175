import { DESCRIPTOR_SIZE, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT } from '../queue/descriptor-chain.ts';
import { SplitQueue } from '../queue/split-queue.ts';
import { passed, type RingAddresses, type RingFeatures } from '../queue/virtqueue.ts';
import { type MockBuffer, placeRequest, writtenData } from './buffers.ts';
import type { MockDriver, MockGuest, MockRequest, MockResult } from './mock-guest.ts';

/** The driver of a split queue. Its parts are open, for tests that break the rules. */
export class SplitDriver implements MockDriver {
  readonly addresses: RingAddresses;
  readonly table: DataView;
  readonly available: DataView;
  readonly used: DataView;
  readonly size: number;
  readonly #guest: MockGuest;
  readonly #features: RingFeatures;
  readonly #free: number[];
  readonly #pending = new Map<number, { heads: number[]; buffers: MockBuffer[] }>();
  #nextAvailable = 0;
  #kickedAvailable = 0;
  #nextUsed = 0;

  constructor(guest: MockGuest, size: number, features: RingFeatures) {
    this.#guest = guest;
    this.size = size;
    this.#features = features;
    this.#free = Array.from({ length: size }, (_, i) => i);
    const table = guest.allocate(DESCRIPTOR_SIZE * size);
    const available = guest.allocate(6 + 2 * size);
    const used = guest.allocate(6 + 8 * size);
    this.table = guest.view(table, DESCRIPTOR_SIZE * size);
    this.available = guest.view(available, 6 + 2 * size);
    this.used = guest.view(used, 6 + 8 * size);
    this.addresses = {
      descriptor: guest.userAddress(table),
      driver: guest.userAddress(available),
      device: guest.userAddress(used),
    };
  }

  add(request: MockRequest): number {
    const buffers = placeRequest(this.#guest, request);
    const heads = request.indirect ? [this.#addIndirect(buffers)] : this.#addChain(buffers);
    this.#pending.set(heads[0]!, { heads, buffers });
    this.makeAvailable(heads[0]!);
    return heads[0]!;
  }

  /** Puts a descriptor into the available ring, whatever it is. */
  makeAvailable(head: number): void {
    this.available.setUint16(4 + 2 * (this.#nextAvailable & (this.size - 1)), head, true);
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    this.available.setUint16(2, this.#nextAvailable, true);
  }

  take(): MockResult | undefined {
    if (this.usedIndex === this.#nextUsed) return undefined;
    const at = 4 + 8 * (this.#nextUsed & (this.size - 1));
    const id = this.usedId(this.#nextUsed);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    const { heads, buffers } = this.#pending.get(id)!;
    this.#pending.delete(id);
    this.#free.push(...heads);
    return { id, written: this.used.getUint32(at + 4, true), data: writtenData(this.#guest, buffers) };
  }

  needsKick(): boolean {
    const old = this.#kickedAvailable;
    this.#kickedAvailable = this.#nextAvailable;
    if (old === this.#nextAvailable) return false;
    if (!this.#features.eventIdx) return (this.used.getUint16(0, true) & 1) === 0;
    return passed(this.used.getUint16(4 + 8 * this.size, true), this.#nextAvailable, old);
  }

  wantInterrupt(on: boolean): void {
    if (!this.#features.eventIdx) this.available.setUint16(0, on ? 0 : 1, true);
    else if (on) this.wantInterruptAt(this.#nextUsed);
  }

  /** Where the used ring stands, modulo 2^16. */
  get usedIndex(): number {
    return this.used.getUint16(2, true);
  }

  /** The first descriptor of a request that came back: the one at this place of the used ring. */
  usedId(index: number): number {
    return this.used.getUint32(4 + 8 * (index & (this.size - 1)), true);
  }

  /** With event indices: asks for an interrupt when the used ring goes beyond this place. */
  wantInterruptAt(index: number): void {
    this.available.setUint16(4 + 2 * this.size, index, true);
  }

  open(base = 0): SplitQueue {
    return new SplitQueue(this.#guest.memory, this.size, this.addresses, this.#features, base);
  }

  /** Writes one descriptor, whatever it says. */
  setDescriptor(index: number, gpa: number, length: number, flags: number, next: number): void {
    writeDescriptor(this.table, index, gpa, length, flags, next);
  }

  #addChain(buffers: readonly MockBuffer[]): number[] {
    const heads = buffers.map(() => this.#take());
    for (const [i, { gpa, length, flags }] of buffers.entries()) {
      const next = heads[i + 1];
      this.setDescriptor(heads[i]!, gpa, length, flags | (next === undefined ? 0 : VIRTQ_DESC_F_NEXT), next ?? 0);
    }
    return heads;
  }

  /** The table lists its descriptors from the last to the first but for the one that must be first. */
  #addIndirect(buffers: readonly MockBuffer[]): number {
    const length = DESCRIPTOR_SIZE * buffers.length;
    const gpa = this.#guest.allocate(length);
    const table = this.#guest.view(gpa, length);
    const place = (i: number) => (i === 0 ? 0 : buffers.length - i);
    for (const [i, buffer] of buffers.entries()) {
      const last = i === buffers.length - 1;
      const flags = buffer.flags | (last ? 0 : VIRTQ_DESC_F_NEXT);
      writeDescriptor(table, place(i), buffer.gpa, buffer.length, flags, last ? 0 : place(i + 1));
    }
    const head = this.#take();
    this.setDescriptor(head, gpa, length, VIRTQ_DESC_F_INDIRECT, 0);
    return head;
  }

  #take(): number {
    const index = this.#free.shift();
    if (index === undefined) throw new RangeError('the mock queue is full');
    return index;
  }
}

function writeDescriptor(table: DataView, index: number, gpa: number, length: number, flags: number, next: number) {
  const at = DESCRIPTOR_SIZE * index;
  table.setBigUint64(at, BigInt(gpa), true);
  table.setUint32(at + 8, length, true);
  table.setUint16(at + 12, flags, true);
  table.setUint16(at + 14, next, true);
}
