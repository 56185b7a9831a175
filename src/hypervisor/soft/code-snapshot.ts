/**
 * A copy of the bytes that code is decoded from: other vCPUs may write them meanwhile, and the copy tells whether one
 * did. Up to two pieces of memory, one after the other.
 */
export class CodeSnapshot {
  readonly bytes: Uint8Array;
  /** How many of `bytes` there are. */
  length = 0;
  readonly #memory: Uint8Array;
  #first = 0;
  #firstLength = 0;
  #second = 0;

  /** `memory`: the whole WebAssembly memory. */
  constructor(memory: Uint8Array, capacity: number) {
    this.#memory = memory;
    this.bytes = new Uint8Array(capacity);
  }

  /** Copies `length` bytes at `address` of the WebAssembly memory. */
  start(address: number, length: number): void {
    this.#first = address;
    this.#firstLength = length;
    this.length = 0;
    this.#copy(address, length);
  }

  /** Adds `length` bytes at another address. */
  goOn(address: number, length: number): void {
    this.#second = address;
    this.#copy(address, length);
  }

  /** Whether the memory still has the same bytes. */
  isCurrent(): boolean {
    const { bytes } = this;
    const memory = this.#memory;
    for (let i = 0; i < this.length; i++) {
      const at = i < this.#firstLength ? this.#first + i : this.#second + i - this.#firstLength;
      if (bytes[i] !== memory[at]) return false;
    }
    return true;
  }

  #copy(address: number, length: number): void {
    this.bytes.set(this.#memory.subarray(address, address + length), this.length);
    this.length += length;
  }
}
