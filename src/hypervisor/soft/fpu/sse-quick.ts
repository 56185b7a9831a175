/**
 * Arithmetic for programs that have not met an inexact result yet: the usual modes, but the precision flag is clear, so
 * that generated code asks here. Numbers of moderate size are computed by JavaScript's own arithmetic, and whether the
 * result is exact follows from error-free transformations (Knuth's sum, Dekker's product). There is no BigInt and no
 * allocation: a program whose floats stay integers comes here every time.
 */
import type { OpName } from '../decode/opcodes.ts';

/** Magnitudes for which no intermediate result leaves the normal range, by element size. */
const LARGEST = { 4: 2 ** 60, 8: 2 ** 400 } as const;

/** Veltkamp's constant: splits 53 bits into two halves. */
const SPLITTER = 2 ** 27 + 1;

/** a + b - sum, exactly. */
function sumError(a: number, b: number, sum: number): number {
  const part = sum - a;
  return a - (sum - part) + (b - part);
}

/** a * b - product, exactly. */
function productError(a: number, b: number, product: number): number {
  const a1 = a * SPLITTER - (a * SPLITTER - a);
  const b1 = b * SPLITTER - (b * SPLITTER - b);
  const a2 = a - a1;
  const b2 = b - b1;
  return a2 * b2 - (product - a1 * b1 - a2 * b1 - a1 * b2);
}

type Kind = 'add' | 'sub' | 'mul' | 'div' | 'sqrt';

function compute(kind: Kind, a: number, b: number): number {
  switch (kind) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'mul':
      return a * b;
    case 'div':
      return a / b;
    default:
      return Math.sqrt(b);
  }
}

/** Whether `result`, computed and rounded once, is what a and b give without rounding. */
function isExact(kind: Kind, a: number, b: number, result: number): boolean {
  switch (kind) {
    case 'add':
      return sumError(a, b, result) === 0;
    case 'sub':
      return sumError(a, -b, result) === 0;
    case 'mul':
      return productError(a, b, result) === 0;
    case 'div':
      return result * b === a && productError(result, b, a) === 0;
    default:
      return result * result === b && productError(result, result, b) === 0;
  }
}

const inRange = (x: number, largest: number): boolean =>
  x === 0 || (Math.abs(x) <= largest && Math.abs(x) >= 1 / largest);

/** One arithmetic instruction. */
export class QuickOperation {
  readonly #kind: Kind;
  readonly #bytes: 4 | 8;
  readonly #count: number;
  readonly #results = new Float64Array(4);

  constructor(kind: Kind, bytes: 4 | 8, count: number) {
    this.#kind = kind;
    this.#bytes = bytes;
    this.#count = count;
  }

  /**
   * Does the instruction on the vectors at two addresses. Returns whether the result is exact, or undefined, with nothing
   * changed, if it takes more than this.
   */
  run(view: DataView, a: number, b: number): boolean | undefined {
    const bytes = this.#bytes;
    let exact = true;
    for (let i = 0; i < this.#count; i++) {
      const x = this.#read(view, a + i * bytes);
      const y = this.#read(view, b + i * bytes);
      if (!this.#usable(x, y)) return undefined;
      const wide = compute(this.#kind, x, y);
      // Rounding to binary64 and then to binary32 gives what rounding once does: 53 >= 2 * 24 + 2.
      const result = bytes === 4 ? Math.fround(wide) : wide;
      if (exact) exact = result === wide && isExact(this.#kind, x, y, wide);
      this.#results[i] = result;
    }
    for (let i = 0; i < this.#count; i++) this.#write(view, a + i * bytes, this.#results[i]!);
    return exact;
  }

  #usable(x: number, y: number): boolean {
    const largest = LARGEST[this.#bytes];
    if (!inRange(y, largest)) return false;
    if (this.#kind === 'sqrt') return y >= 0;
    return inRange(x, largest) && (this.#kind !== 'div' || y !== 0);
  }

  #read(view: DataView, at: number): number {
    return this.#bytes === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true);
  }

  #write(view: DataView, at: number, value: number): void {
    if (this.#bytes === 4) view.setFloat32(at, value, true);
    else view.setFloat64(at, value, true);
  }
}

const KINDS: readonly Kind[] = ['add', 'sub', 'mul', 'div', 'sqrt'];

/** The instructions that there is a quick way for. */
export const QUICK_OPERATIONS: readonly (readonly [OpName, QuickOperation])[] = KINDS.flatMap((kind) => [
  [`${kind}ps`, new QuickOperation(kind, 4, 4)] as const,
  [`${kind}pd`, new QuickOperation(kind, 8, 2)] as const,
  [`${kind}ss`, new QuickOperation(kind, 4, 1)] as const,
  [`${kind}sd`, new QuickOperation(kind, 8, 1)] as const,
]);
