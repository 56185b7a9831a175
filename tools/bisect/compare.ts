/** What differs between the states of two machines. */
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { MachineState } from '../../src/vm/machine-state.ts';

const PAGE = 4096;
/** Memory is compared in pieces of this size first. */
const CHUNK = 1 << 20;
/** Bytes of a page or device that are told one by one. */
const MOST_PLACES = 8;

export interface RegisterDifference {
  readonly name: string;
  readonly a: bigint;
  readonly b: bigint;
}

/** The first bytes that differ in a device's state, or in a page of memory by its guest physical address. */
export interface BytesDifference {
  readonly name: string;
  readonly places: readonly { readonly offset: number; readonly a: number; readonly b: number }[];
}

export interface Differences {
  readonly registers: readonly RegisterDifference[];
  readonly devices: readonly BytesDifference[];
  readonly pages: readonly BytesDifference[];
  /** What else there is to say. */
  readonly others: readonly string[];
}

/** Undefined if the states are the same and there are no `others`. */
export function compareStates(
  a: MachineState,
  b: MachineState,
  others: readonly string[] = [],
): Differences | undefined {
  const registers = [...a.registers]
    .map(([name, value]) => ({ name, a: value, b: b.registers.get(name)! }))
    .filter((register) => register.a !== register.b);
  const devices = [...a.devices].flatMap(([name, bytes]) => difference(name, bytes, b.devices.get(name)!));
  const pages = [...differentPages(a.memory, b.memory)];
  const none = registers.length + devices.length + pages.length + others.length === 0;
  return none ? undefined : { registers, devices, pages, others };
}

function difference(name: string, a: Uint8Array, b: Uint8Array): BytesDifference[] {
  if (Buffer.compare(a, b) === 0) return [];
  const places: { offset: number; a: number; b: number }[] = [];
  for (let offset = 0; offset < a.length && places.length < MOST_PLACES; offset++) {
    if (a[offset] !== b[offset]) places.push({ offset, a: a[offset]!, b: b[offset]! });
  }
  return [{ name, places }];
}

function* differentPages(a: GuestMemory, b: GuestMemory): Iterable<BytesDifference> {
  for (const { gpa, size } of a.regions) {
    for (let at = gpa; at < gpa + size; at += CHUNK) {
      const length = Math.min(CHUNK, gpa + size - at);
      const [ours, theirs] = [a.slice(at, length), b.slice(at, length)];
      if (Buffer.compare(ours, theirs) === 0) continue;
      for (let page = 0; page < length; page += PAGE) {
        const name = `0x${(at + page).toString(16)}`;
        yield* difference(name, ours.subarray(page, page + PAGE), theirs.subarray(page, page + PAGE));
      }
    }
  }
}

/** Something of a machine's state that differs. */
export interface Watched {
  readonly text: string;
  readonly kind: 'register' | 'device' | 'memory';
  readonly name: string;
  /** In the device's state; a guest physical address. */
  readonly offset: number;
}

/** Every register and byte that `differences` names. */
export function watched({ registers, devices, pages }: Differences): Watched[] {
  const hex = (value: number | bigint) => `0x${value.toString(16)}`;
  const bytes = (kind: 'device' | 'memory', list: readonly BytesDifference[]) =>
    list.flatMap(({ name, places }) =>
      places.map(({ offset, a, b }) => {
        const at = kind === 'memory' ? Number(name) + offset : offset;
        const place = kind === 'memory' ? `memory ${hex(at)}` : `${name} byte ${offset}`;
        return { text: `${place}: a ${hex(a)}, b ${hex(b)}`, kind, name, offset: at };
      }),
    );
  return [
    ...registers.map(({ name, a, b }) => {
      const text = `${name}: a ${hex(a)}, b ${hex(b)}`;
      return { text, kind: 'register', name, offset: 0 } as const;
    }),
    ...bytes('device', devices),
    ...bytes('memory', pages),
  ];
}

export function valueAt(
  { registers, devices, memory }: MachineState,
  { kind, name, offset }: Watched,
): bigint | number {
  if (kind === 'register') return registers.get(name)!;
  return kind === 'device' ? devices.get(name)![offset]! : memory.getU8(offset);
}
