/** Scatter lists as system calls take them. */
import type { HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { addressOf, pin } from './ffi.ts';

/** Pieces that one system call takes. */
const IOV_MAX = 1024;

/** struct iovec for one call: address and length, 8 bytes each, written as halves. */
export const iovecs = new Uint32Array(IOV_MAX * 4);
export const iovecsAddress = pin(iovecs);

/**
 * Describes up to IOV_MAX pieces of a list from `piece` on, of which the first lacks its first `skip` bytes, and
 * `length` bytes altogether; how many.
 */
export function fillIovecs(list: ScatterList, piece: number, skip: number, length: number): number {
  let count = 0;
  for (let i = piece, rest = length, from = skip; i < list.count && rest > 0 && count < IOV_MAX; i++, from = 0) {
    const size = Math.min(list.lengths[i]! - from, rest);
    if (size === 0) continue;
    const address = addressOfMemory(list.memories[i]!) + list.starts[i]! + from;
    const at = count++ * 4;
    iovecs[at] = address;
    iovecs[at + 1] = address / 0x1_0000_0000;
    iovecs[at + 2] = size;
    iovecs[at + 3] = size / 0x1_0000_0000;
    rest -= size;
  }
  return count;
}

/** Of memories that came without an address; a buffer whose address was asked for once stays where it is. */
const addresses = new WeakMap<HostMemory, number>();

/** Where the first byte of a memory lies. */
export function addressOfMemory(memory: HostMemory): number {
  if (memory.address !== 0) return memory.address;
  let address = addresses.get(memory);
  if (address === undefined) addresses.set(memory, (address = addressOf(memory.bytes)));
  return address;
}
