/**
 * Guest physical addresses at which pieces of files are memory: one file from the start (pmem), or pieces that come and
 * go while the guest runs (the shared memory of a virtio device, VIRTIO 1.3, 2.10). Where no piece is, there is no memory.
 */
import { CrosvmError } from '../errors.ts';
import type { Gpa } from './guest-memory.ts';
import { sharedStruct } from './shared-struct.ts';

const PAGE = 4096;
const MAX_PIECES = 4096;
const NOWHERE = -1;
/** Beyond these address bits no machine of ours has memory. */
const MAX_ADDRESS = 2 ** 46;

/** A window that a VM is made with: survives structured clone. */
export interface WindowOptions {
  /** In bytes, whole pages; a power of two if it can be moved. */
  readonly size: number;
  /** Where it always is. Left out: nowhere at first, and wherever `moveTo` says. */
  readonly address?: Gpa;
  /** The most pieces at a time. */
  readonly maxPieces: number;
}

/** A part of a window where a part of a file is. */
export interface WindowPiece {
  /** Its number among the pieces of its window. */
  readonly index: number;
  /** From the window's start; in whole pages, as the length. */
  readonly offset: number;
  readonly length: number;
  /**
   * Otherwise stores of the guest go to the MMIO bus, as those to where nothing is. (On KVM, in a window that can move, they
   * end the VM.)
   */
  readonly writable: boolean;
}

/** What a piece is made from. */
export interface FilePiece extends Omit<WindowPiece, 'index'> {
  readonly fd: number;
  /** Where in the file it starts, in whole pages. It may go beyond the file's end, where nobody may touch it. */
  readonly fdOffset: number;
}

/** How a hypervisor makes memory of pieces. */
export interface WindowHost {
  /** Whether no other memory is there. */
  isFree(gpa: Gpa, size: number): boolean;
  /** The window, none of whose pieces is shown, is at `gpa`, or nowhere, from now on. Not called for one that cannot move. */
  place(gpa: Gpa | undefined): void;
  /** Maps the file. The guest does not see it yet. */
  attach(piece: WindowPiece, fd: number, fdOffset: number): void;
  /** Maps another file in the place of a piece, which the guest sees at once, and never nothing, if it `isShown`. */
  replace(piece: WindowPiece, fd: number, fdOffset: number, isShown: boolean): void;
  /** The opposite of attach. The guest does not see it any more. */
  detach(piece: WindowPiece): void;
  /** These pieces of the window at `gpa` are memory of the guest from now on. */
  show(gpa: Gpa, pieces: readonly WindowPiece[]): void;
  /** They are not any more, for every vCPU, when this returns. */
  hide(pieces: readonly WindowPiece[]): void;
}

const WindowState = sharedStruct({
  /** Guest physical address; NOWHERE. */
  address: 'f64',
  /** Of each piece; a length of 0 stands for none. */
  offsets: ['f64', MAX_PIECES],
  lengths: ['f64', MAX_PIECES],
  writable: ['u8', MAX_PIECES],
});

/** Makes the state of a window. Throws `E_MEMORY_WINDOW` for one that cannot be. */
export function createWindowState({ size, address, maxPieces }: WindowOptions): SharedArrayBuffer {
  const isRange = Number.isSafeInteger(size) && size > 0 && size % PAGE === 0;
  const isPlace = address === undefined ? Number.isInteger(Math.log2(size)) : isAddress(address, size);
  if (!isRange || !isPlace || !Number.isInteger(maxPieces) || maxPieces < 1 || maxPieces > MAX_PIECES) {
    throw windowError(`a window of ${size} bytes with ${maxPieces} pieces cannot be`);
  }
  const buffer = new SharedArrayBuffer(WindowState.byteLength);
  new WindowState(buffer).address = address ?? NOWHERE;
  return buffer;
}

/** A window as one thread sees it. All of it may be called from every thread, and takes effect for all vCPUs. */
export class MemoryWindow {
  readonly size: number;
  readonly #options: WindowOptions;
  readonly #state: InstanceType<typeof WindowState>;
  readonly #host: WindowHost;

  /** `state` is what `createWindowState` made. */
  constructor(options: WindowOptions, state: SharedArrayBuffer, host: WindowHost) {
    this.size = options.size;
    this.#options = options;
    this.#state = new WindowState(state);
    this.#host = host;
  }

  /** Where it is; undefined for nowhere. */
  get address(): Gpa | undefined {
    const { address } = this.#state;
    return address === NOWHERE ? undefined : address;
  }

  /**
   * Moves the window with all of its pieces; undefined for nowhere. A guest decides that, so a place where it cannot be
   * is nowhere, too.
   */
  moveTo(gpa: Gpa | undefined): void {
    if (this.#options.address !== undefined) throw new RangeError('this window does not move');
    const isPossible = gpa !== undefined && isAddress(gpa, this.size) && this.#host.isFree(gpa, this.size);
    this.#locked(() => this.#move(isPossible ? gpa : NOWHERE));
  }

  /**
   * Makes a part of a file memory; its descriptor may be closed then. In a window that can move it may take the place of
   * just one other piece. Throws `E_MEMORY_WINDOW` if the part of the window is not one, or not free, and `SystemError`.
   */
  map({ offset, length, writable, fd, fdOffset }: FilePiece): void {
    if (!isPart(offset, length, this.size) || !isPart(fdOffset, length, Number.MAX_SAFE_INTEGER)) {
      throw windowError(`${length} bytes at ${offset} are no part of a window of ${this.size} bytes`);
    }
    this.#locked(() => {
      const s = this.#state;
      const same = this.#options.address === undefined ? this.#indexOf(offset, length) : -1;
      if (same >= 0) {
        this.#host.replace({ index: same, offset, length, writable }, fd, fdOffset, s.address !== NOWHERE);
        s.writable[same] = writable ? 1 : 0;
        return;
      }
      const index = this.#freePlace(offset, length);
      const piece = { index, offset, length, writable };
      this.#host.attach(piece, fd, fdOffset);
      try {
        if (s.address !== NOWHERE) this.#host.show(s.address, [piece]);
      } catch (error) {
        this.#host.detach(piece);
        throw error;
      }
      s.offsets[index] = offset;
      s.lengths[index] = length;
      s.writable[index] = writable ? 1 : 0;
    });
  }

  /** Takes a piece away that was mapped as just this. Throws `E_MEMORY_WINDOW` if there is none. */
  unmap(offset: number, length: number): void {
    this.#locked(() => {
      const index = this.#indexOf(offset, length);
      if (index < 0) throw windowError(`there are no ${length} bytes at ${offset} of the window to take away`);
      this.#remove([this.#piece(index)]);
    });
  }

  /** Takes all pieces away. */
  clear(): void {
    this.#locked(() => this.#remove(this.#pieces()));
  }

  #move(to: Gpa | typeof NOWHERE): void {
    const s = this.#state;
    if (to === s.address) return;
    const pieces = this.#pieces();
    if (s.address !== NOWHERE && pieces.length > 0) this.#host.hide(pieces);
    s.address = NOWHERE;
    this.#host.place(to === NOWHERE ? undefined : to);
    if (to === NOWHERE) return;
    try {
      this.#host.show(to, pieces);
      s.address = to;
    } catch {
      // Something that the hypervisor itself has is there. A driver that finds the window another place can use it.
      this.#host.place(undefined);
    }
  }

  #remove(pieces: readonly WindowPiece[]): void {
    const s = this.#state;
    if (s.address !== NOWHERE && pieces.length > 0) this.#host.hide(pieces);
    for (const piece of pieces) {
      s.lengths[piece.index] = 0;
      this.#host.detach(piece);
    }
  }

  /** The number of the piece that is just there; -1 for none. */
  #indexOf(offset: number, length: number): number {
    const { offsets, lengths } = this.#state;
    return lengths.findIndex((one, index) => one > 0 && one === length && offsets[index] === offset);
  }

  /** The number for a new piece. Throws `E_MEMORY_WINDOW` if there is none, or something where the piece is to be. */
  #freePlace(offset: number, length: number): number {
    const { offsets, lengths } = this.#state;
    let free = -1;
    for (let index = this.#options.maxPieces - 1; index >= 0; index--) {
      const other = offsets[index]!;
      if (lengths[index] === 0) free = index;
      else if (other < offset + length && offset < other + lengths[index]!) {
        throw windowError(`there is something at ${offset} of the window already`);
      }
    }
    if (free < 0) throw windowError(`a window has ${this.#options.maxPieces} pieces at most`);
    return free;
  }

  #piece(index: number): WindowPiece {
    const { offsets, lengths, writable } = this.#state;
    return { index, offset: offsets[index]!, length: lengths[index]!, writable: writable[index] !== 0 };
  }

  #pieces(): WindowPiece[] {
    const pieces = Array.from({ length: this.#options.maxPieces }, (_, index) => this.#piece(index));
    return pieces.filter(({ length }) => length > 0);
  }

  #locked(action: () => void): void {
    const { lock } = this.#state;
    lock.acquire();
    try {
      action();
    } finally {
      lock.release();
    }
  }
}

function isPart(offset: number, length: number, size: number): boolean {
  const isWhole = (value: number) => Number.isSafeInteger(value) && value >= 0 && value % PAGE === 0;
  return isWhole(offset) && isWhole(length) && length > 0 && length <= size && offset <= size - length;
}

function isAddress(gpa: number, size: number): boolean {
  return isPart(gpa, size, MAX_ADDRESS);
}

function windowError(message: string): CrosvmError {
  return new CrosvmError('E_MEMORY_WINDOW', message);
}
