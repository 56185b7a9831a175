/** The string comparisons of SSE4.2 (Intel SDM vol. 2, 4.1). */

/** The fields of the immediate. */
const WORDS = 1;
const SIGNED = 2;
const AGGREGATION = { any: 0, ranges: 1, each: 2, ordered: 3 } as const;
const NEGATIVE = 0x10;
const MASKED = 0x20;
/** The last index instead of the first; a mask of elements instead of bits. */
const OUTPUT = 0x40;

/** A vector as a string: its elements, and how many of them count. */
export interface VectorString {
  readonly elements: readonly number[];
  readonly length: number;
}

/** Elements per vector. */
export const elementCount = (imm: number): number => ((imm & WORDS) === 0 ? 16 : 8);

export function readElements(view: DataView, address: number, imm: number): number[] {
  const signed = (imm & SIGNED) !== 0;
  return Array.from({ length: elementCount(imm) }, (_, i) => {
    if ((imm & WORDS) === 0) return signed ? view.getInt8(address + i) : view.getUint8(address + i);
    const at = address + 2 * i;
    return signed ? view.getInt16(at, true) : view.getUint16(at, true);
  });
}

/** The length of a string that ends before its first zero. */
export function implicitLength(elements: readonly number[]): number {
  const end = elements.indexOf(0);
  return end < 0 ? elements.length : end;
}

/** The length that a register gives: its magnitude, at most a whole vector. */
export function explicitLength(register: bigint, imm: number): number {
  const magnitude = register < 0n ? -register : register;
  const most = elementCount(imm);
  return magnitude > BigInt(most) ? most : Number(magnitude);
}

/** Whether element j of b matches, before polarity. */
function matches(a: VectorString, b: VectorString, j: number, aggregation: number): boolean {
  const x = b.elements[j]!;
  switch (aggregation) {
    case AGGREGATION.any:
      return j < b.length && a.elements.some((y, i) => i < a.length && x === y);
    case AGGREGATION.ranges:
      return (
        j < b.length &&
        a.elements.some((low, i) => (i & 1) === 0 && i + 1 < a.length && low <= x && x <= a.elements[i + 1]!)
      );
    case AGGREGATION.each:
      return j < a.length && j < b.length ? a.elements[j] === x : j >= a.length && j >= b.length;
    default:
      return a.elements.every((y, i) => {
        if (i >= a.length || i + j >= b.elements.length) return true;
        return i + j < b.length && b.elements[i + j] === y;
      });
  }
}

/** One bit for each element of b. */
export function compareStrings(a: VectorString, b: VectorString, imm: number): number {
  let result = 0;
  for (let j = 0; j < b.elements.length; j++) {
    const inverted = (imm & NEGATIVE) !== 0 && ((imm & MASKED) === 0 || j < b.length);
    if (matches(a, b, j, (imm >> 2) & 3) !== inverted) result |= 1 << j;
  }
  return result;
}

/** The index that pcmp*stri gives in ECX. */
export function matchIndex(result: number, imm: number): number {
  if (result === 0) return elementCount(imm);
  return (imm & OUTPUT) !== 0 ? 31 - Math.clz32(result) : 31 - Math.clz32(result & -result);
}

/** The vector that pcmp*strm gives in XMM0. */
export function matchMask(result: number, imm: number): bigint {
  if ((imm & OUTPUT) === 0) return BigInt(result);
  const width = BigInt(128 / elementCount(imm));
  let mask = 0n;
  for (let j = 0n; j < 16n; j++) {
    if (((result >> Number(j)) & 1) !== 0) mask |= ((1n << width) - 1n) << (j * width);
  }
  return mask;
}
