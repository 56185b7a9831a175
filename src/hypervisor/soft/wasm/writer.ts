/** A growing byte buffer with the encodings of the WebAssembly binary format (specification 5.2). */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  /** `capacity`: bytes that there is room for at first. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

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

  /** A name in ASCII. */
  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i));
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
export function unsignedLeb(value: number): readonly number[] {
  if (value >= 0 && value < UNSIGNED.length) return UNSIGNED[value]!;
  return encodeUnsigned(value);
}

function encodeUnsigned(value: number): number[] {
  const bytes: number[] = [];
  let v = value >>> 0;
  for (; v >= 0x80; v >>>= 7) bytes.push((v & 0x7f) | 0x80);
  bytes.push(v);
  return bytes;
}

/** Compiling code asks for the same small numbers again and again. */
const UNSIGNED = Array.from({ length: 4096 }, (_, value) => encodeUnsigned(value));

/** Signed LEB128 of up to 64 bits. */
export function signedLeb(value: number | bigint): number[] {
  const number = Number(value);
  return Number.isSafeInteger(number) ? encodeSigned(number) : encodeSignedBig(BigInt.asIntN(64, BigInt(value)));
}

function encodeSigned(value: number): number[] {
  const bytes: number[] = [];
  let v = value;
  for (; v < -64 || v >= 64; v = Math.floor(v / 128)) bytes.push(((v % 128) & 0x7f) | 0x80);
  bytes.push(v & 0x7f);
  return bytes;
}

function encodeSignedBig(value: bigint): number[] {
  const bytes: number[] = [];
  let v = value;
  for (; v < -64n || v >= 64n; v >>= 7n) bytes.push(Number(v & 0x7fn) | 0x80);
  bytes.push(Number(v & 0x7fn));
  return bytes;
}
