/**
 * Layouts of C structs as tables: a codec reads its offsets from them, and a test compares them with what a C compiler
 * makes of <linux/kvm.h>.
 */

/** An unsigned integer of that width, or a number of raw bytes. */
export type FieldType = 'u8' | 'u16' | 'u32' | 'u64' | number;

export interface FieldLayout {
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly type: FieldType;
}

export interface StructLayout<Name extends string = string> {
  /** Name in C, without `struct`. */
  readonly name: string;
  /** sizeof; without the elements where the struct ends in a flexible array. */
  readonly size: number;
  /** Keys are what `offsetof` takes: a dot steps into a nested struct. */
  readonly fields: Readonly<Record<Name, FieldLayout>>;
}

const WIDTHS = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;

/** Bytes that a field takes. */
export function fieldSize(type: FieldType): number {
  return typeof type === 'number' ? type : WIDTHS[type];
}

/** Declares a struct; the fields need not cover it. */
export function structLayout<const F extends Readonly<Record<string, readonly [number, FieldType]>>>(
  name: string,
  size: number,
  fields: F,
): StructLayout<Extract<keyof F, string>> {
  const entries = Object.entries(fields).map(([field, [offset, type]]) => {
    if (offset + fieldSize(type) > size && fieldSize(type) !== 0) throw new RangeError(`${name}.${field} is outside`);
    return [field, { offset, type }] as const;
  });
  return { name, size, fields: Object.fromEntries(entries) as Record<Extract<keyof F, string>, FieldLayout> };
}

/** Fields of one width that follow each other, for use with a spread. */
export function consecutive<const N extends string>(
  type: 'u8' | 'u64',
  first: number,
  names: readonly N[],
): Record<N, readonly [number, 'u8' | 'u64']> {
  const entries = names.map((name, i) => [name, [first + i * WIDTHS[type], type]] as const);
  return Object.fromEntries(entries) as Record<N, readonly [number, 'u8' | 'u64']>;
}

/** Typed access to one struct at a fixed place of a buffer. The property per field keeps the name of the C field. */
export class StructView<Name extends string> {
  readonly layout: StructLayout<Name>;
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** The struct starts at byte `offset` of `bytes`. */
  constructor(layout: StructLayout<Name>, bytes: Uint8Array, offset = 0) {
    this.layout = layout;
    this.bytes = bytes.subarray(offset, offset + layout.size);
    if (this.bytes.length !== layout.size) throw new RangeError(`no room for struct ${layout.name}`);
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, layout.size);
  }

  /** All bytes zero, as the kernel wants its reserved fields. */
  clear(): this {
    this.bytes.fill(0);
    return this;
  }

  /** A field of at most 32 bits. */
  get(name: Name): number {
    const { offset, type } = this.layout.fields[name];
    if (type === 'u8') return this.#view.getUint8(offset);
    if (type === 'u16') return this.#view.getUint16(offset, true);
    if (type === 'u32') return this.#view.getUint32(offset, true);
    throw new TypeError(`${this.layout.name}.${name} is not a small integer`);
  }

  /** Stores the low bits of `value` that the field has room for; a u64 takes a non-negative safe integer. */
  set(name: Name, value: number): void {
    const { offset, type } = this.layout.fields[name];
    if (type === 'u8') this.#view.setUint8(offset, value);
    else if (type === 'u16') this.#view.setUint16(offset, value, true);
    else if (type === 'u32') this.#view.setUint32(offset, value, true);
    else if (type === 'u64') this.setBig(name, BigInt(value));
    else throw new TypeError(`${this.layout.name}.${name} is not an integer`);
  }

  /** A u64 field in full. */
  getBig(name: Name): bigint {
    return this.#view.getBigUint64(this.layout.fields[name].offset, true);
  }

  setBig(name: Name, value: bigint): void {
    this.#view.setBigUint64(this.layout.fields[name].offset, value, true);
  }

  /** A view of a field of raw bytes. */
  raw(name: Name): Uint8Array {
    const { offset, type } = this.layout.fields[name];
    return this.bytes.subarray(offset, offset + fieldSize(type));
  }
}
