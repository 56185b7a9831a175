import type { HostMemory, ScatterList } from '../../memory/scatter-list.ts';
import { brokenRing } from './broken-ring.ts';

/** A piece of guest memory as a device sees it. */
export class DeviceRegion implements HostMemory {
  /** First guest physical address. */
  readonly gpa: number;
  /** First address of the same memory in the front end, which is what it calls the rings by. */
  readonly userAddress: number;
  /** In bytes. */
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly address: number;
  readonly view: DataView;
  /** For atomic accesses to the indices of rings. */
  readonly halfWords: Uint16Array;

  /** `memory` is all of the region and starts at an even place of its buffer. */
  constructor(gpa: number, userAddress: number, memory: HostMemory) {
    const { buffer, byteOffset, length } = memory.bytes;
    this.gpa = gpa;
    this.userAddress = userAddress;
    this.size = length;
    this.bytes = memory.bytes;
    this.address = memory.address;
    this.view = new DataView(buffer, byteOffset, length);
    this.halfWords = new Uint16Array(buffer, byteOffset, length >> 1);
  }
}

/** A part of a ring: where it lies, found once and not again for each request. */
export interface RingPart {
  readonly region: DeviceRegion;
  /** Bytes from the start of the region. */
  readonly offset: number;
}

/**
 * Guest memory that a device may access. Every address that comes from a guest is looked up here; what is found lies
 * within a region.
 */
export class DeviceMemory {
  #regions: readonly DeviceRegion[] = [];
  /** Most requests lie in the region of the one before. */
  #last: DeviceRegion | undefined;

  get regions(): readonly DeviceRegion[] {
    return this.#regions;
  }

  /** Replaces all regions. They must not overlap. Queues must find their rings again. */
  replace(regions: readonly DeviceRegion[]): void {
    this.#regions = regions;
    this.#last = undefined;
  }

  /**
   * Appends [gpa, gpa + length) to a list, in a piece for each region that it touches. False, with some of it appended,
   * when not all of it is memory. Any non-negative numbers may be asked for.
   */
  append(list: ScatterList, gpa: number, length: number): boolean {
    let at = gpa;
    for (let rest = length; rest > 0; ) {
      const region = this.#find(at);
      if (region === undefined) return false;
      const start = at - region.gpa;
      const part = Math.min(rest, region.size - start);
      list.add(region, start, part);
      at += part;
      rest -= part;
    }
    return true;
  }

  /** The region that holds all of [gpa, gpa + length). */
  regionOf(gpa: number, length: number): DeviceRegion | undefined {
    const region = this.#find(gpa);
    return region !== undefined && length <= region.size - (gpa - region.gpa) ? region : undefined;
  }

  /**
   * A part of a ring by its address in the front end. Throws `E_VIRTQUEUE` when it is not memory of one region, or not
   * a multiple of `alignment` there. `what` is its name for the message.
   */
  ringPart(userAddress: number, length: number, alignment: number, what: string): RingPart {
    for (const region of this.#regions) {
      const offset = userAddress - region.userAddress;
      if (offset < 0 || offset > region.size - length) continue;
      if ((region.bytes.byteOffset + offset) % alignment === 0) return { region, offset };
      throw brokenRing(`the ${what} is not at a multiple of ${alignment}`);
    }
    throw brokenRing(`the ${what} is not in guest memory`);
  }

  #find(gpa: number): DeviceRegion | undefined {
    const last = this.#last;
    if (last !== undefined && gpa >= last.gpa && gpa - last.gpa < last.size) return last;
    for (const region of this.#regions) {
      if (gpa >= region.gpa && gpa - region.gpa < region.size) {
        this.#last = region;
        return region;
      }
    }
    return undefined;
  }
}
