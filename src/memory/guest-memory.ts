import { CrosvmError } from '../errors.ts';

/** A guest physical address in bytes: a Number, always a safe integer. */
export type Gpa = number;

/** A contiguous piece of guest RAM that a machine asks for. */
export interface MemoryLayoutEntry {
  readonly gpa: Gpa;
  /** In bytes, a multiple of 4096. */
  readonly size: number;
  /** For the guest only (a ROM): its stores go to the MMIO bus. The VMM itself can write. */
  readonly readOnly?: boolean;
}

/** A contiguous piece of guest RAM, as this thread sees it. */
export interface MemoryRegion {
  /** First guest physical address. */
  readonly gpa: Gpa;
  /** Length in bytes, a multiple of 4096. */
  readonly size: number;
  /** The buffer that holds the bytes, and where in it the region starts. */
  readonly buffer: ArrayBufferLike;
  readonly bufferOffset: number;
  /** Where the region lies in this process's address space (for system calls), or 0 where there is no such thing. */
  readonly hostAddress: number;
  /** Where the region starts in the memfd that holds all guest RAM. */
  readonly fdOffset: number;
}

interface MappedRegion extends MemoryRegion {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/**
 * Guest RAM. Every access names a guest physical address and is checked against the regions, so a number that a guest
 * chose can be passed straight in: out of range throws `E_GUEST_ADDRESS`. An access must lie within one region.
 */
export class GuestMemory {
  readonly regions: readonly MemoryRegion[];
  readonly #mapped: readonly MappedRegion[];

  constructor(regions: readonly MemoryRegion[]) {
    this.regions = regions;
    this.#mapped = regions.map((r) => ({
      ...r,
      bytes: new Uint8Array(r.buffer, r.bufferOffset, r.size),
      view: new DataView(r.buffer, r.bufferOffset, r.size),
    }));
  }

  /** Bytes of RAM in all regions. */
  get size(): number {
    return this.regions.reduce((sum, r) => sum + r.size, 0);
  }

  /** One past the highest RAM address. */
  get end(): Gpa {
    return this.regions.reduce((end, r) => Math.max(end, r.gpa + r.size), 0);
  }

  /** Whether [gpa, gpa + length) is RAM within one region. */
  contains(gpa: Gpa, length: number): boolean {
    return this.#find(gpa, length) !== undefined;
  }

  /** A view (not a copy) of guest memory. Not for hot paths: it allocates. */
  slice(gpa: Gpa, length: number): Uint8Array {
    const r = this.#require(gpa, length);
    return r.bytes.subarray(gpa - r.gpa, gpa - r.gpa + length);
  }

  write(gpa: Gpa, bytes: Uint8Array): void {
    const r = this.#require(gpa, bytes.length);
    r.bytes.set(bytes, gpa - r.gpa);
  }

  fill(gpa: Gpa, length: number, value: number): void {
    const r = this.#require(gpa, length);
    r.bytes.fill(value, gpa - r.gpa, gpa - r.gpa + length);
  }

  getU8(gpa: Gpa): number {
    const r = this.#require(gpa, 1);
    return r.view.getUint8(gpa - r.gpa);
  }

  getU16(gpa: Gpa): number {
    const r = this.#require(gpa, 2);
    return r.view.getUint16(gpa - r.gpa, true);
  }

  getU32(gpa: Gpa): number {
    const r = this.#require(gpa, 4);
    return r.view.getUint32(gpa - r.gpa, true);
  }

  /** A little-endian 64-bit value as a Number; exact up to 2^53. Check the range before use as an address. */
  getU64(gpa: Gpa): number {
    const r = this.#require(gpa, 8);
    return r.view.getUint32(gpa - r.gpa, true) + r.view.getUint32(gpa - r.gpa + 4, true) * 0x1_0000_0000;
  }

  setU8(gpa: Gpa, value: number): void {
    const r = this.#require(gpa, 1);
    r.view.setUint8(gpa - r.gpa, value);
  }

  setU16(gpa: Gpa, value: number): void {
    const r = this.#require(gpa, 2);
    r.view.setUint16(gpa - r.gpa, value, true);
  }

  setU32(gpa: Gpa, value: number): void {
    const r = this.#require(gpa, 4);
    r.view.setUint32(gpa - r.gpa, value, true);
  }

  /** Stores a non-negative safe integer as 64 bits. */
  setU64(gpa: Gpa, value: number): void {
    const r = this.#require(gpa, 8);
    r.view.setUint32(gpa - r.gpa, value % 0x1_0000_0000, true);
    r.view.setUint32(gpa - r.gpa + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  #find(gpa: Gpa, length: number): MappedRegion | undefined {
    for (const r of this.#mapped) {
      if (gpa >= r.gpa && length <= r.size && gpa - r.gpa <= r.size - length) return r;
    }
    return undefined;
  }

  #require(gpa: Gpa, length: number): MappedRegion {
    const r = this.#find(gpa, length);
    if (r === undefined) {
      throw new CrosvmError('E_GUEST_ADDRESS', `guest memory has no ${length} bytes at 0x${gpa.toString(16)}`);
    }
    return r;
  }
}

/** Guest RAM in ordinary memory of this thread: for tests and for loaders that run before there is a VM. */
export function heapGuestMemory(layout: readonly { gpa: Gpa; size: number }[]): GuestMemory {
  let fdOffset = 0;
  return new GuestMemory(
    layout.map(({ gpa, size }) => {
      const region = { gpa, size, buffer: new ArrayBuffer(size), bufferOffset: 0, hostAddress: 0, fdOffset };
      fdOffset += size;
      return region;
    }),
  );
}
