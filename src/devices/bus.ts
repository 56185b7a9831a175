/**
 * An address space in which devices claim ranges: one for I/O ports, one for MMIO.
 *
 * Data travels in byte arrays whose length is the width of the access (1, 2, 4 or 8; little-endian): the vCPU threads
 * keep one array of each width, so an access allocates nothing and needs no BigInt.
 */

/** What a device on a bus answers to. `offset` counts from the start of the range that was claimed. */
export interface BusDevice {
  /** Fills all of `data`. */
  read(offset: number, data: Uint8Array): void;
  write(offset: number, data: Uint8Array): void;
}

interface Range {
  readonly start: number;
  readonly length: number;
  readonly device: BusDevice;
}

export class Bus {
  readonly #ranges: Range[] = [];

  /** Claims [start, start + length). Throws if part of it is taken: that is a bug in the machine's construction. */
  insert(device: BusDevice, start: number, length: number): void {
    const overlap = this.#ranges.find((r) => start < r.start + r.length && r.start < start + length);
    if (overlap !== undefined) {
      throw new RangeError(`bus range 0x${start.toString(16)}+${length} overlaps 0x${overlap.start.toString(16)}`);
    }
    this.#ranges.push({ start, length, device });
    this.#ranges.sort((a, b) => a.start - b.start);
  }

  /** Gives the range that starts at `start` back. */
  remove(start: number): void {
    const i = this.#ranges.findIndex((r) => r.start === start);
    if (i >= 0) this.#ranges.splice(i, 1);
  }

  /** Whether some device answers at `address`. */
  claims(address: number): boolean {
    return this.#find(address) !== undefined;
  }

  /** Reads into `data`; an address that nobody claims reads as all ones, as on a real bus. */
  read(address: number, data: Uint8Array): void {
    const r = this.#find(address);
    if (r === undefined) data.fill(0xff);
    else r.device.read(address - r.start, data);
  }

  /** Writes; an address that nobody claims swallows the data. */
  write(address: number, data: Uint8Array): void {
    const r = this.#find(address);
    if (r !== undefined) r.device.write(address - r.start, data);
  }

  #find(address: number): Range | undefined {
    const ranges = this.#ranges;
    let low = 0;
    let high = ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const r = ranges[middle]!;
      if (address < r.start) high = middle - 1;
      else if (address >= r.start + r.length) low = middle + 1;
      else return r;
    }
    return undefined;
  }
}
