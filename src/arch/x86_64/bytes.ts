/** Little-endian pieces of firmware tables, as lists that are put together and turned into a Uint8Array at the end. */
export type Bytes = readonly number[];

export function u16(value: number): Bytes {
  return [value & 0xff, (value >>> 8) & 0xff];
}

export function u32(value: number): Bytes {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff];
}

/** `value` is a non-negative safe integer. */
export function u64(value: number): Bytes {
  return [...u32(value % 0x1_0000_0000), ...u32(Math.floor(value / 0x1_0000_0000))];
}

export function zeros(count: number): Bytes {
  return new Array<number>(count).fill(0);
}

/** ASCII text in a field of `length` bytes, filled up with `fill`. */
export function ascii(text: string, length = text.length, fill = 0): Bytes {
  return Array.from({ length }, (_, i) => (i < text.length ? text.charCodeAt(i) & 0x7f : fill));
}

/** The byte that makes the sum of all bytes zero modulo 256. */
export function checksum(bytes: Bytes | Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += bytes[i]!;
  return -sum & 0xff;
}
