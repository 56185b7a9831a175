/** Random bytes of the kernel, fit for keys. (Node's own way to them loads 50 ms of cryptography.) */
import { check, EINTR, errno, libc } from './ffi.ts';
import { SystemError } from './system-error.ts';

const getrandom = libc<(bytes: Uint8Array, length: number, flags: number) => number>(
  'int64_t getrandom(void *, uint64_t, uint32_t)',
);

const getrandomAt = libc<(address: number, length: number, flags: number) => number>(
  'int64_t getrandom(int64_t, uint64_t, uint32_t)',
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

/** Fills `length` bytes of this process's memory. */
export function fillRandom(address: number, length: number): void {
  for (let done = 0; done < length; ) {
    const n = getrandomAt(address + done, length - done, 0);
    if (n !== -1) {
      done += n;
      continue;
    }
    const reason = errno();
    if (reason !== EINTR) throw new SystemError('getrandom', reason);
  }
}
