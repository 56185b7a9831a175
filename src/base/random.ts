import { randomFillSync } from 'node:crypto';

const words = new BigUint64Array(1);

/** 64 random bits, fit for keys. */
export function random64(): bigint {
  return randomFillSync(words)[0]!;
}
