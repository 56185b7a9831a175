/** Windows on the software CPU: each has a place in the WebAssembly memory, over which pieces of files are mapped. */
import { addressOf } from '../../base/ffi.ts';
import { MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, mmap } from '../../base/mmap.ts';
import type { Gpa } from '../../memory/guest-memory.ts';
import { MemoryWindow, type WindowHost, type WindowPiece } from '../../memory/memory-window.ts';
import type { CodeWrites } from './code-writes.ts';
import { PAGE_READABLE, PAGE_WRITABLE, REGION, REGIONS, regionEntry } from './layout.ts';
import { GUEST_PAGE, type MachineMemory, pageBytesOf, regionBase } from './machine-memory.ts';

/** The windows as this thread sees them. `flushTlbs` makes all vCPUs do so; false if one has not done it yet. */
export function attachWindows(
  machine: MachineMemory,
  states: readonly SharedArrayBuffer[],
  codeWrites: CodeWrites,
  flushTlbs: () => boolean,
): MemoryWindow[] {
  return machine.windows.map((options, i) => {
    const host = new SoftWindowHost(machine, machine.layout.length + i, codeWrites, flushTlbs);
    return new MemoryWindow(options, states[i]!, host);
  });
}

/**
 * The byte of each page says whether it is memory; the MMU looks at it before an entry gets into a TLB. What a vCPU has
 * in its TLB is always the same place of the WebAssembly memory, whatever is mapped there, so even a vCPU that does not
 * hear of a change in time accesses nothing but the window.
 */
class SoftWindowHost implements WindowHost {
  readonly #machine: MachineMemory;
  /** Number of the region. */
  readonly #index: number;
  readonly #codeWrites: CodeWrites;
  readonly #flushTlbs: () => boolean;
  readonly #view: DataView;
  readonly #pages: Uint8Array;
  /** Where the window is in this process. */
  readonly #address: number;

  constructor(machine: MachineMemory, index: number, codeWrites: CodeWrites, flushTlbs: () => boolean) {
    const { buffer } = machine.memory;
    const { size } = machine.windows[index - machine.layout.length]!;
    this.#machine = machine;
    this.#index = index;
    this.#codeWrites = codeWrites;
    this.#flushTlbs = flushTlbs;
    this.#view = new DataView(buffer);
    this.#pages = new Uint8Array(buffer, pageBytesOf(machine, index), size / GUEST_PAGE);
    this.#address = addressOf(buffer) + regionBase(machine, index);
  }

  isFree(gpa: Gpa, size: number): boolean {
    const count = this.#view.getUint32(REGIONS, true);
    return Array.from({ length: count }, (_, i) => i).every((i) => {
      if (i === this.#index) return true;
      const [start, length] = this.#region(i);
      return gpa + size <= start || start + length <= gpa;
    });
  }

  place(gpa: Gpa | undefined): void {
    const { layout, windows } = this.#machine;
    const entry = regionEntry(this.#index);
    const { size } = windows[this.#index - layout.length]!;
    if (gpa !== undefined) this.#view.setBigUint64(entry + REGION.start, BigInt(gpa), true);
    this.#view.setBigUint64(entry + REGION.size, gpa === undefined ? 0n : BigInt(size), true);
  }

  /** What cannot be written is private, as WebAssembly could not go on behind a store that fails. */
  attach({ offset, length, writable }: WindowPiece, fd: number, fdOffset: number): void {
    const flags = writable ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
    mmap({ address: this.#address + offset, length, fd, offset: fdOffset, flags });
  }

  replace(piece: WindowPiece, fd: number, fdOffset: number, isShown: boolean): void {
    this.attach(piece, fd, fdOffset);
    if (!isShown) return;
    this.#mark(piece, bytesOf(piece));
    this.#forget([piece]);
  }

  detach({ offset, length }: WindowPiece): void {
    mmap({ address: this.#address + offset, length, flags: MAP_PRIVATE | MAP_NORESERVE });
  }

  show(_gpa: Gpa, pieces: readonly WindowPiece[]): void {
    for (const piece of pieces) this.#mark(piece, bytesOf(piece));
  }

  hide(pieces: readonly WindowPiece[]): void {
    for (const piece of pieces) this.#mark(piece, 0);
    this.#forget(pieces);
  }

  /** Makes all vCPUs forget what they know of these pieces. */
  #forget(pieces: readonly WindowPiece[]): void {
    const [gpa] = this.#region(this.#index);
    // Whoever was decoding code of these pages has done so when all TLBs have been flushed.
    if (!this.#flushTlbs()) this.#codeWrites.postAll();
    else for (const { offset, length } of pieces) this.#codeWrites.hostWrote(gpa + offset, length);
  }

  #region(index: number): [start: Gpa, size: number] {
    const entry = regionEntry(index);
    const field = (at: number) => Number(this.#view.getBigUint64(entry + at, true));
    return [field(REGION.start), field(REGION.size)];
  }

  #mark({ offset, length }: WindowPiece, flags: number): void {
    this.#pages.fill(flags, offset / GUEST_PAGE, (offset + length) / GUEST_PAGE);
  }
}

function bytesOf({ writable }: WindowPiece): number {
  return writable ? PAGE_READABLE | PAGE_WRITABLE : PAGE_READABLE;
}
