import { CrosvmError } from '../errors.ts';

/** Hands out naturally aligned pieces of an address window, lowest first. */
export class BarAllocator {
  readonly #end: number;
  readonly #what: string;
  #next: number;

  /** The window is [start, end); `what` names it in errors. */
  constructor(start: number, end: number, what: string) {
    this.#next = start;
    this.#end = end;
    this.#what = what;
  }

  /** `size` is a power of two. Throws E_PCI_WINDOW_FULL if there is no room. */
  allocate(size: number): number {
    const address = Math.ceil(this.#next / size) * size;
    if (!(size > 0) || address + size > this.#end) {
      throw new CrosvmError('E_PCI_WINDOW_FULL', `${this.#what} has no room for a PCI BAR of ${size} bytes`);
    }
    this.#next = address + size;
    return address;
  }
}
