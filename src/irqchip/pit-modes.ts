/**
 * The six modes of an 8254 counter as functions of the clocks that have passed since it was loaded (modes 0, 2, 3, 4) or
 * triggered (1, 5): Intel 8254 data sheet, "Mode Definitions".
 */

/** Modes 2 and 3 reload themselves. */
export function expiresAgain(mode: number): boolean {
  return mode === 2 || mode === 3;
}

/** Level of OUT after `clocks`. */
export function outputLevel(mode: number, clocks: number, count: number): boolean {
  switch (mode) {
    case 0:
    case 1:
      return clocks >= count;
    case 2:
      return clocks % count !== count - 1;
    case 3:
      return clocks % count < Math.ceil(count / 2);
    default: // strobes
      return clocks !== count;
  }
}

/** What the counting element holds after `clocks`; it wraps at `modulus` (65536, or 10000 in BCD). */
export function counterValue(mode: number, clocks: number, count: number, modulus: number): number {
  const left =
    mode === 3 ? count - ((2 * clocks) % count) : mode === 2 ? count - (clocks % count) : (count - clocks) % modulus;
  return (left + modulus) % modulus;
}

/** Clocks from the load to the first rise of OUT; Infinity in the modes that only the gate starts. */
export function firstRise(mode: number, count: number): number {
  switch (mode) {
    case 0:
    case 2:
    case 3:
      return count;
    case 4:
      return count + 1;
    default:
      return Number.POSITIVE_INFINITY;
  }
}
