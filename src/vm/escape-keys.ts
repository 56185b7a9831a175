const CTRL_A = 0x01;
const QUIT_KEYS = [0x78, 0x58]; // x and X

/**
 * Finds the keys that are for the VMM in what is typed on a raw terminal: Ctrl-A x quits, Ctrl-A Ctrl-A sends one Ctrl-A.
 * Before any other key, Ctrl-A reaches the guest as it is.
 */
export class EscapeKeys {
  #escaped = false;

  /** What of `typed` goes to the guest; undefined once the user quits. */
  filter(typed: Uint8Array): Uint8Array | undefined {
    const result: number[] = [];
    for (const key of typed) {
      if (!this.#escaped) {
        if (key === CTRL_A) this.#escaped = true;
        else result.push(key);
        continue;
      }
      this.#escaped = false;
      if (QUIT_KEYS.includes(key)) return undefined;
      result.push(CTRL_A);
      if (key !== CTRL_A) result.push(key);
    }
    return Uint8Array.from(result);
  }
}
