/**
 * Code that keeps changing is not worth compiling: after each change of compiled code of a page, so many of its blocks that
 * become hot are sent back to count from the beginning, twice as many each time.
 *
 * They are used up by being executed, so a page is compiled in the end whatever happened to it: a kernel that starts
 * overwrites each page of its hot code some dozen times, and never again.
 */
const MOST = 64;

/** By number of the guest physical page. */
interface Page {
  /** How many were sent back after the last change, altogether. */
  wait: number;
  /** How many still are to be. */
  left: number;
}

export class Patience {
  readonly #pages = new Map<number, Page>();

  /** Compiled code of a page was overwritten. */
  changed(page: number): void {
    const wait = Math.min(2 * (this.#pages.get(page)?.wait ?? 0) || 1, MOST);
    this.#pages.set(page, { wait, left: wait });
  }

  /** A block of a page is hot: whether it is to be sent back. */
  sendsBack(page: number): boolean {
    const found = this.#pages.get(page);
    if (found === undefined || found.left === 0) return false;
    found.left--;
    return true;
  }

  clear(): void {
    this.#pages.clear();
  }
}
