/** An extended attribute, or the list of their names, that a fid is open on: a copy of it. */
export class ExtendedAttribute {
  readonly bytes: Uint8Array;
  /** What the fid's file gets when it is clunked; undefined if it is there to be read. */
  readonly target: { readonly key: string; readonly flags: number } | undefined;

  constructor(bytes: Uint8Array, target?: { readonly key: string; readonly flags: number }) {
    this.bytes = bytes;
    this.target = target;
  }
}

/** Bytes that all fids of a client have open in this way. Linux has one attribute at a time for each thread that asks. */
const MAX_OPEN_BYTES = 16 << 20;

/** Counts what is open. */
export class AttributeBudget {
  #used = 0;

  take(bytes: number): boolean {
    if (this.#used + bytes > MAX_OPEN_BYTES) return false;
    this.#used += bytes;
    return true;
  }

  give({ bytes }: ExtendedAttribute): void {
    this.#used -= bytes.length;
  }

  clear(): void {
    this.#used = 0;
  }
}
