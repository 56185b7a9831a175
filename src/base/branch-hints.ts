import { setFlagsFromString } from 'node:v8';

/** V8 heeds branch hints by itself from here on; before, it has to be told. */
const FIRST_V8 = 14;

/**
 * Makes V8 heed the branch hints in WebAssembly modules that are compiled from now on, on all threads: an optimized
 * function then keeps its registers out of the way of what happens rarely.
 */
export function heedBranchHints(): void {
  if (Number.parseInt(process.versions.v8, 10) < FIRST_V8) setFlagsFromString('--experimental-wasm-branch-hinting');
}
