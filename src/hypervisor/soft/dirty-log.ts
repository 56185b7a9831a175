/**
 * Which pages the guest has written: a byte for each page in the machine's memory. Generated code sets it when it
 * enters a page into a TLB for writing, so a page is looked at again only after the TLBs have been flushed.
 */
import { CrosvmError } from '../../errors.ts';
import type { Gpa } from '../../memory/guest-memory.ts';
import { REGION, regionEntry } from './layout.ts';
import { GUEST_PAGE, type MachineMemory, pageBytesOf } from './machine-memory.ts';

export class DirtyLog {
  readonly #machine: MachineMemory;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #flushTlbs: () => boolean;

  /** `flushTlbs` makes all vCPUs do so; false if one of them has not done it yet. */
  constructor(machine: MachineMemory, flushTlbs: () => boolean) {
    this.#machine = machine;
    this.#view = new DataView(machine.memory.buffer);
    this.#bytes = new Uint8Array(machine.memory.buffer);
    this.#flushTlbs = flushTlbs;
  }

  /** Starts or stops recording writes to region `index`. Throws RangeError if there is none. */
  setEnabled(index: number, enabled: boolean): void {
    const map = this.#map(index);
    if (this.#isEnabled(index) === enabled) return;
    map.fill(0);
    this.#view.setUint32(regionEntry(index) + REGION.dirtyMap, enabled ? map.byteOffset : 0, true);
    // A vCPU that still has pages open for writing does not say so: then each may be written.
    if (enabled && !this.#flushTlbs()) map.fill(1);
  }

  /** A bit for each page written since the last call. Throws RangeError or, while the log is off, `E_DIRTY_LOG`. */
  take(index: number): Uint8Array {
    const map = this.#map(index);
    if (!this.#isEnabled(index)) throw new CrosvmError('E_DIRTY_LOG', `memory region ${index} keeps no dirty log`);
    const log = new Uint8Array(Math.ceil(map.length / 8));
    for (let page = 0; page < map.length; page++) {
      if (Atomics.exchange(map, page, 0) !== 0) log[page >> 3] = log[page >> 3]! | (1 << (page & 7));
    }
    // Writes until the flush go to pages of this log, whose contents the caller has yet to look at. A vCPU that does not
    // look up writes them for longer.
    if (!this.#flushTlbs()) this.#markAll(map, log);
    return log;
  }

  /** A vCPU writes [gpa, gpa + length), which lies in one region, by other means than generated code. */
  mark(gpa: Gpa, length: number): void {
    const index = this.#machine.layout.findIndex((entry) => gpa >= entry.gpa && gpa - entry.gpa < entry.size);
    if (index < 0 || !this.#isEnabled(index)) return;
    const offset = gpa - this.#machine.layout[index]!.gpa;
    this.#map(index).fill(1, Math.floor(offset / GUEST_PAGE), Math.ceil((offset + length) / GUEST_PAGE));
  }

  #markAll(map: Uint8Array, log: Uint8Array): void {
    for (let page = 0; page < map.length; page++) {
      if ((log[page >> 3]! >> (page & 7)) & 1) map[page] = 1;
    }
  }

  #isEnabled(index: number): boolean {
    return this.#view.getUint32(regionEntry(index) + REGION.dirtyMap, true) !== 0;
  }

  #map(index: number): Uint8Array {
    const region = this.#machine.layout[index];
    if (region === undefined) throw new RangeError(`there is no memory region ${index}`);
    const start = pageBytesOf(this.#machine, index);
    return this.#bytes.subarray(start, start + region.size / GUEST_PAGE);
  }
}
