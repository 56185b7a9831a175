/** Windows on KVM: each has a stretch of this process's addresses, and each of its pieces is a memory slot. */
import {
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  mmap,
  munmap,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../base/mmap.ts';
import { CrosvmError } from '../../errors.ts';
import type { Gpa, MemoryLayoutEntry } from '../../memory/guest-memory.ts';
import {
  createWindowState,
  MemoryWindow,
  type WindowHost,
  type WindowOptions,
  type WindowPiece,
} from '../../memory/memory-window.ts';
import { KVM_MEM_READONLY } from './constants.ts';
import { setMemorySlot } from './memory-slots.ts';

/** What threads need of a window: survives structured clone. */
export interface KvmWindowHandle {
  readonly options: WindowOptions;
  readonly state: SharedArrayBuffer;
  /** Where it is in this process, if there is anything. */
  readonly address: number;
  /** Piece n is memory slot `firstSlot` + n. */
  readonly firstSlot: number;
}

/** `firstSlot` is the first that is free, of `slots` that there can be. Throws `E_MEMORY_WINDOW`, `SystemError`. */
export function createWindows(windows: readonly WindowOptions[], firstSlot: number, slots: number): KvmWindowHandle[] {
  const made: KvmWindowHandle[] = [];
  let next = firstSlot;
  try {
    for (const options of windows) {
      const state = createWindowState(options);
      made.push({ options, state, address: reserve(options.size), firstSlot: next });
      next += options.maxPieces;
    }
    if (next > slots) {
      throw new CrosvmError('E_MEMORY_WINDOW', `KVM has ${slots} memory slots, but ${next} may be needed`);
    }
    return made;
  } catch (error) {
    releaseWindows(made);
    throw error;
  }
}

/** No vCPU runs any more. */
export function releaseWindows(windows: readonly KvmWindowHandle[]): void {
  for (const { address, options } of windows) munmap(address, options.size);
}

/** The windows as this thread sees them. */
export function attachWindows(
  vmFd: number,
  windows: readonly KvmWindowHandle[],
  ram: readonly MemoryLayoutEntry[],
): MemoryWindow[] {
  return windows.map((window) => new MemoryWindow(window.options, window.state, new KvmWindowHost(vmFd, window, ram)));
}

class KvmWindowHost implements WindowHost {
  readonly #vmFd: number;
  readonly #window: KvmWindowHandle;
  readonly #ram: readonly MemoryLayoutEntry[];

  constructor(vmFd: number, window: KvmWindowHandle, ram: readonly MemoryLayoutEntry[]) {
    this.#vmFd = vmFd;
    this.#window = window;
    this.#ram = ram;
  }

  /** Where another window is the kernel finds out. */
  isFree(gpa: Gpa, size: number): boolean {
    return this.#ram.every((ram) => gpa + size <= ram.gpa || ram.gpa + ram.size <= gpa);
  }

  place(): void {}

  attach({ offset, length, writable }: WindowPiece, fd: number, fdOffset: number): void {
    const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    mmap({ address: this.#window.address + offset, length, fd, offset: fdOffset, flags: MAP_SHARED, protection });
  }

  /** The slot stays as it is: its memory is another from one moment to the next. */
  replace(piece: WindowPiece, fd: number, fdOffset: number): void {
    this.attach(piece, fd, fdOffset);
  }

  detach({ offset, length }: WindowPiece): void {
    reserve(length, this.#window.address + offset);
  }

  show(gpa: Gpa, pieces: readonly WindowPiece[]): void {
    const shown: WindowPiece[] = [];
    try {
      for (const piece of pieces) {
        this.#setSlot(piece, gpa + piece.offset, piece.length);
        shown.push(piece);
      }
    } catch (error) {
      this.hide(shown);
      throw error;
    }
  }

  hide(pieces: readonly WindowPiece[]): void {
    for (const piece of pieces) this.#setSlot(piece, 0, 0);
  }

  #setSlot({ index, offset, writable }: WindowPiece, gpa: Gpa, size: number): void {
    const { address, firstSlot, options } = this.#window;
    // Pieces of windows that move can become writable, and slots cannot: there the mapping says it.
    const flags = writable || options.address === undefined ? 0 : KVM_MEM_READONLY;
    setMemorySlot(this.#vmFd, { slot: firstSlot + index, flags, gpa, size, hostAddress: address + offset });
  }
}

/** Takes addresses with nothing behind them. */
function reserve(length: number, address?: number): number {
  return mmap({ address, length, protection: PROT_NONE, flags: MAP_PRIVATE | MAP_NORESERVE });
}
