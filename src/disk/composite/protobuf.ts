/** The little of the Protocol Buffers encoding that composite disks need: varints and length-delimited fields. */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** A field of a message: a number, or the bytes of a string or of another message. */
export interface Field {
  readonly number: number;
  readonly value: number | Uint8Array;
}

/** The fields of a message, in order. Throws a RangeError for bytes that are none. */
export function* readFields(bytes: Uint8Array): Generator<Field> {
  const reader = new Reader(bytes);
  while (!reader.atEnd) {
    const key = reader.varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case VARINT:
        yield { number, value: reader.varint() };
        break;
      case BYTES:
        yield { number, value: reader.bytes(reader.varint()) };
        break;
      case FIXED64:
        reader.bytes(8);
        break;
      case FIXED32:
        reader.bytes(4);
        break;
      default:
        throw new RangeError(`wire type ${key % 8}`);
    }
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** A number of up to 53 bits; a longer one is an error. */
  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.bytes(1)[0]!;
      value += (byte & 127) * factor;
      if (!Number.isSafeInteger(value)) throw new RangeError('a number of more than 53 bits');
      if (byte < 128) return value;
    }
  }

  bytes(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw new RangeError('it ends in the middle of a field');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** Encodes a message. */
export function writeFields(fields: readonly Field[]): Uint8Array {
  const bytes: number[] = [];
  const varint = (value: number) => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
  };
  for (const { number, value } of fields) {
    const isNumber = typeof value === 'number';
    varint(number * 8 + (isNumber ? VARINT : BYTES));
    if (isNumber) varint(value);
    else {
      varint(value.length);
      bytes.push(...value);
    }
  }
  return Uint8Array.from(bytes);
}
