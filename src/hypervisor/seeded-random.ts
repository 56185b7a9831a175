/** Numbers that look random and follow from a seed, for guests that must behave the same again. Not fit for keys. */

const GOLDEN = 0x9e37_79b9_7f4a_7c15n;

/** The finalizer of SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators"). */
function mixed(state: bigint): bigint {
  let z = state;
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return z ^ (z >> 31n);
}

/** The streams that one seed has: each user draws from its own, so that none depends on how much others draw. */
export const STREAM = { boot: 0, rdrand: 1 } as const;

/** Where a stream of `seed`, a non-negative safe integer, begins. */
export function streamStart(seed: number, stream: number): bigint {
  return mixed(BigInt.asUintN(64, mixed(BigInt(seed)) + BigInt(stream + 1) * GOLDEN));
}

/** The state after `state`: it goes through all 2^64 before it comes back. */
export function nextState(state: bigint): bigint {
  return BigInt.asUintN(64, state + GOLDEN);
}

/** The 64 bits that a state gives. */
export function bitsOf(state: bigint): bigint {
  return mixed(state);
}

/** The first `length` bytes of a stream. */
export function seededBytes(seed: number, stream: number, length: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(Math.ceil(length / 8) * 8));
  let state = streamStart(seed, stream);
  for (let at = 0; at < bytes.byteLength; at += 8) {
    state = nextState(state);
    bytes.setBigUint64(at, bitsOf(state), true);
  }
  return new Uint8Array(bytes.buffer, 0, length);
}
