/** Random bytes of the kernel, fit for keys. (Node's own way to them loads 50 ms of cryptography.) */
import { check, libc } from './ffi.ts';

const getrandom = libc<(bytes: Uint8Array, length: number, flags: number) => number>(
  'int64_t getrandom(void *, uint64_t, uint32_t)',
);

/** getrandom(2) gives at most this much at once without being interrupted. */
const LARGEST = 256;

/** At most 256 bytes. */
export function randomBytes(length: number): Uint8Array {
  if (length > LARGEST) throw new RangeError(`${length} random bytes are more than ${LARGEST}`);
  const bytes = new Uint8Array(length);
  check(getrandom(bytes, length, 0), 'getrandom');
  return bytes;
}

export function random64(): bigint {
  return new DataView(randomBytes(8).buffer).getBigUint64(0, true);
}
