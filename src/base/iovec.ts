/** Pieces of memory as system calls take them: arrays of struct iovec, an address and a length of 8 bytes each. */
import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { addressOf, pin } from './ffi.ts';

/** Words of 32 bits in a struct. */
export const IOVEC_WORDS = 4;

/** Pieces that one system call takes. */
export const IOV_MAX = 1024;

/** Structs for the system call that comes next. */
export const iovecs = new Uint32Array(IOV_MAX * IOVEC_WORDS);
export const iovecsAddress = pin(iovecs);

/** What O_DIRECT asks of offsets, lengths and addresses at least; a disk may ask for more, by EINVAL. */
const DIRECT_ALIGNMENT = 512;

/**
 * Describes pieces of a list as structs iovec, from number `at` of `target` on: those from `piece` on, of which the first
 * lacks its first `skip` bytes, for `length` bytes and at most `most` structs. Returns how many.
 */
export function fillIovecs(
  target: Uint32Array,
  at: number,
  list: ScatterList,
  piece: number,
  skip: number,
  length: number,
  most: number,
): number {
  let count = 0;
  for (let i = piece, rest = length, from = skip; i < list.count && rest > 0 && count < most; i++, from = 0) {
    const size = Math.min(list.lengths[i]! - from, rest);
    if (size === 0) continue;
    const address = addressOfMemory(list.memories[i]!) + list.starts[i]! + from;
    const word = (at + count++) * IOVEC_WORDS;
    target[word] = address;
    target[word + 1] = address / 0x1_0000_0000;
    target[word + 2] = size;
    target[word + 3] = size / 0x1_0000_0000;
    rest -= size;
  }
  return count;
}

/** Of memories that came without an address; a buffer whose address was asked for once stays where it is. */
const addresses = new WeakMap<HostMemory, number>();

/** Where a memory lies. */
export function addressOfMemory(memory: HostMemory): number {
  if (memory.address !== 0) return memory.address;
  let address = addresses.get(memory);
  if (address === undefined) addresses.set(memory, (address = addressOf(memory.bytes)));
  return address;
}

/** Whether a request is fit for O_DIRECT. */
export function isAligned(address: number, length: number, offset: number): boolean {
  return address % DIRECT_ALIGNMENT === 0 && length % DIRECT_ALIGNMENT === 0 && offset % DIRECT_ALIGNMENT === 0;
}

/** Whether the structs iovec from number `at` of `vectors` on are. */
export function areAligned(vectors: Uint32Array, at: number, count: number, offset: number): boolean {
  if (offset % DIRECT_ALIGNMENT !== 0) return false;
  for (let word = at * IOVEC_WORDS; word < (at + count) * IOVEC_WORDS; word += IOVEC_WORDS) {
    if (vectors[word]! % DIRECT_ALIGNMENT !== 0 || vectors[word + 2]! % DIRECT_ALIGNMENT !== 0) return false;
  }
  return true;
}
