import { ScatterList } from '../../memory/scatter-list.ts';
import { brokenRing } from './broken-ring.ts';
import type { DeviceMemory } from './device-memory.ts';

/** Flags of a descriptor, the same in split and packed rings (VIRTIO 1.3, 2.7.5 and 2.8.13). */
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;

/** Bytes of a descriptor in either format. */
export const DESCRIPTOR_SIZE = 16;

/**
 * The most descriptors of one chain, those of an indirect table included. As many pieces as one preadv(2) takes; no
 * driver uses more, and it bounds what one chain costs us.
 */
export const MAX_CHAIN_DESCRIPTORS = 1024;

/** The most bytes of one chain (VIRTIO 1.3, 2.7.4.3 and 2.8.16). */
const MAX_CHAIN_BYTES = 2 ** 32;

/** What it takes to give a request back. */
export interface TakenChain {
  /** What the driver knows the request by: its first descriptor (split ring), or the buffer id (packed ring). */
  readonly id: number;
  /** How many descriptors of a packed ring it takes up. */
  readonly slots: number;
  /** Where a packed ring has noted it for a successor. */
  readonly note: number;
}

/** A copy of that, for a device that answers later. */
export class KeptChain implements TakenChain {
  id = 0;
  slots = 0;
  note = 0;

  keep(chain: TakenChain): void {
    this.id = chain.id;
    this.slots = chain.slots;
    this.note = chain.note;
  }
}

/**
 * One request of a driver. It has been checked: readers and writers of its lists cannot fail. One object serves all
 * requests of a queue, so a device that needs something of a request later keeps what it needs, not the lists.
 */
export class DescriptorChain implements TakenChain {
  /** What the device reads. */
  readonly readable = new ScatterList();
  /** What the device writes, behind what it reads. */
  readonly writable = new ScatterList();
  id = 0;
  slots = 0;
  note = 0;
  #descriptors = 0;

  clear(): void {
    this.readable.clear();
    this.writable.clear();
    this.slots = 0;
    this.#descriptors = 0;
  }

  /** Appends what a descriptor describes. Throws `E_VIRTQUEUE`. */
  addDescriptor(memory: DeviceMemory, gpa: number, length: number, flags: number): void {
    if (++this.#descriptors > MAX_CHAIN_DESCRIPTORS) {
      throw brokenRing(`a chain has more than ${MAX_CHAIN_DESCRIPTORS} descriptors`);
    }
    if (this.readable.length + this.writable.length + length >= MAX_CHAIN_BYTES) {
      throw brokenRing(`a chain has ${MAX_CHAIN_BYTES} bytes or more`);
    }
    const write = (flags & VIRTQ_DESC_F_WRITE) !== 0;
    if (!write && this.writable.length > 0) throw brokenRing('a readable descriptor follows a writable one');
    if (!memory.append(write ? this.writable : this.readable, gpa, length)) {
      throw brokenRing(`a descriptor names ${length} bytes at 0x${gpa.toString(16)}, where not all is guest memory`);
    }
  }

  /**
   * Appends the descriptors of an indirect table of `length` bytes (VIRTIO 1.3, 2.7.5.3 and 2.8.7). `linked`: they are
   * a list by their next fields (split ring), not simply all of them in order. Throws `E_VIRTQUEUE`.
   */
  addIndirect(memory: DeviceMemory, gpa: number, length: number, linked: boolean): void {
    const count = length / DESCRIPTOR_SIZE;
    if (count < 1 || !Number.isInteger(count) || count > MAX_CHAIN_DESCRIPTORS) {
      throw brokenRing(`an indirect table has ${length} bytes`);
    }
    const region = memory.regionOf(gpa, length);
    if (region === undefined) throw brokenRing(`an indirect table at 0x${gpa.toString(16)} is not in guest memory`);
    const { view } = region;
    const table = gpa - region.gpa;
    let index = 0;
    // A loop ends as the list has more descriptors than the table.
    for (let visited = 1; ; visited++) {
      const at = table + index * DESCRIPTOR_SIZE;
      const tail = view.getUint32(at + 12, true);
      const flags = linked ? tail & 0xffff : tail >>> 16;
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) throw brokenRing('an indirect table refers to another one');
      this.addDescriptor(memory, address(view, at), view.getUint32(at + 8, true), flags);
      if (linked ? (flags & VIRTQ_DESC_F_NEXT) === 0 : visited === count) return;
      index = linked ? tail >>> 16 : index + 1;
      if (index >= count || visited === count) throw brokenRing(`an indirect table of ${count} descriptors goes on`);
    }
  }
}

/** The 64-bit address at a place; beyond 2^53 it is inexact, and no memory is there. */
export function address(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}
