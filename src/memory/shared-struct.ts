/**
 * Structs in shared memory: a device declares its fields once and gets an object with a plain property for each, backed
 * by a SharedArrayBuffer, so that every thread sees the same state and a snapshot is a copy of the bytes.
 *
 *     const State = sharedStruct({ index: 'u8', ram: ['u8', 128], alarm: 'f64' });
 *     const state = new State(new SharedArrayBuffer(State.byteLength));
 *     state.index = 3; state.ram[7] = 1;
 *
 * Scalars are 'u8' 'i8' 'u16' 'u32' 'i32' 'f64' (`f64` also for times in nanoseconds: exact to 2^53); `[type, n]` is a
 * typed array of n elements. Every struct starts with the word of its Lock.
 */
import { Lock } from './lock.ts';

const TYPES = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f64: Float64Array,
} as const;

/** The lock's word, padded. */
const LOCK_SIZE = 8;

export type ScalarType = keyof typeof TYPES;
type ArrayOf<T extends ScalarType> = InstanceType<(typeof TYPES)[T]>;
export type Field = ScalarType | readonly [ScalarType, number];
export type Fields = Readonly<Record<string, Field>>;

type FieldValue<F extends Field> = F extends ScalarType
  ? number
  : F extends readonly [infer T extends ScalarType, number]
    ? ArrayOf<T>
    : never;

type Scalars<F extends Fields> = { -readonly [K in keyof F as F[K] extends ScalarType ? K : never]: number };
type Arrays<F extends Fields> = { readonly [K in keyof F as F[K] extends ScalarType ? never : K]: FieldValue<F[K]> };

/**
 * An instance: the declared fields, the lock that guards them, and the raw bytes for a snapshot, with the lock's and
 * without.
 */
export type SharedState<F extends Fields> = Scalars<F> &
  Arrays<F> & {
    readonly lock: Lock;
    readonly bytes: Uint8Array;
    readonly contents: Uint8Array;
  };

export interface SharedStruct<F extends Fields> {
  /** Bytes that one instance needs; a multiple of 8. */
  readonly byteLength: number;
  /** A view of the instance at `byteOffset` (a multiple of 8) of `buffer`. */
  new (buffer: SharedArrayBuffer, byteOffset?: number): SharedState<F>;
}

interface Placed {
  readonly name: string;
  readonly type: ScalarType;
  readonly count: number;
  readonly isArray: boolean;
  readonly offset: number;
}

/** Largest elements first, so that everything is aligned without padding between fields. */
function place(fields: Fields): { placed: Placed[]; byteLength: number } {
  const list = Object.entries(fields).map(([name, field]) => {
    const isArray = typeof field !== 'string';
    return { name, type: isArray ? field[0] : field, count: isArray ? field[1] : 1, isArray };
  }) as Omit<Placed, 'offset'>[];
  list.sort((a, b) => TYPES[b.type].BYTES_PER_ELEMENT - TYPES[a.type].BYTES_PER_ELEMENT);
  let offset = LOCK_SIZE;
  const placed = list.map((f) => {
    const at = { ...f, offset };
    offset += TYPES[f.type].BYTES_PER_ELEMENT * f.count;
    return at;
  });
  return { placed, byteLength: (offset + 7) & ~7 };
}

export function sharedStruct<const F extends Fields>(fields: F): SharedStruct<F> {
  const { placed, byteLength } = place(fields);

  class Struct {
    static readonly byteLength = byteLength;
    readonly lock: Lock;
    readonly bytes: Uint8Array;
    readonly contents: Uint8Array;

    constructor(buffer: SharedArrayBuffer, byteOffset = 0) {
      this.lock = new Lock(new Int32Array(buffer, byteOffset, 1));
      this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
      this.contents = this.bytes.subarray(LOCK_SIZE);
      for (const { name, type, count, isArray, offset } of placed) {
        const array = new (TYPES[type] as new (b: ArrayBufferLike, o: number, n: number) => object)(
          buffer,
          byteOffset + offset,
          count,
        );
        Object.defineProperty(this, isArray ? name : `_${name}`, { value: array, enumerable: false });
      }
    }
  }
  for (const { name, isArray } of placed) {
    if (isArray) continue;
    const backing = `_${name}`;
    Object.defineProperty(Struct.prototype, name, {
      get(this: Record<string, Uint8Array>) {
        return this[backing]![0];
      },
      set(this: Record<string, Uint8Array>, value: number) {
        this[backing]![0] = value;
      },
      enumerable: true,
    });
  }
  return Struct as unknown as SharedStruct<F>;
}
