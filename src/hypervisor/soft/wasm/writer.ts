/** A growing byte buffer with the encodings of the WebAssembly binary format (specification 5.2). */
export class Writer {
  #bytes: Uint8Array = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    const { length } = values;
    if (this.#length + length > this.#bytes.length) this.#grow(length);
    if (length > 16) this.#bytes.set(values, this.#length);
    else for (let i = 0; i < length; i++) this.#bytes[this.#length + i] = values[i]!;
    this.#length += length;
  }

  /** Unsigned LEB128. */
  u32(value: number): void {
    let v = value >>> 0;
    while (v >= 0x80) {
      this.u8((v & 0x7f) | 0x80);
      v >>>= 7;
    }
    this.u8(v);
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    let v = value | 0;
    for (;;) {
      const byte = v & 0x7f;
      v >>= 7;
      if ((v === 0 && (byte & 0x40) === 0) || (v === -1 && (byte & 0x40) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit value. */
  s64(value: bigint): void {
    let v = BigInt.asIntN(64, value);
    if (v >= -0x8000_0000n && v < 0x8000_0000n) {
      this.s32(Number(v));
      return;
    }
    for (;;) {
      const byte = Number(v & 0x7fn);
      v >>= 7n;
      if ((v === 0n && (byte & 0x40) === 0) || (v === -1n && (byte & 0x40) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 0x80);
    }
  }

  name(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u32(bytes.length);
    this.bytes(bytes);
  }

  /** A copy of what has been written. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length) as Uint8Array<ArrayBuffer>;
  }

  /** What has been written, valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  #grow(extra: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + extra));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Unsigned LEB128 as a plain array: for the immediates of instructions. */
export function unsignedLeb(value: number): number[] {
  if (value >= 0 && value < 0x80) return [value];
  const bytes: number[] = [];
  let v = value >>> 0;
  for (; v >= 0x80; v >>>= 7) bytes.push((v & 0x7f) | 0x80);
  bytes.push(v);
  return bytes;
}

const scratch = new Writer();

/** Signed LEB128 of up to 64 bits. */
export function signedLeb(value: number | bigint): number[] {
  const small = Number(value);
  if (small >= -64 && small < 64) return [small & 0x7f];
  scratch.clear();
  scratch.s64(BigInt(value));
  return Array.from(scratch.view());
}
