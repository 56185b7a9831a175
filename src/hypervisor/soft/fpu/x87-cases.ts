/** For tests: every x87 encoding that the decoder knows, and operands worth trying. */
import { X87 as ROWS } from '../decode/opcodes-x87.ts';

/** One encoding; a register form stands for all eight registers. */
export interface Encoding {
  readonly name: string;
  readonly bytes: readonly [number, number];
  /** Bytes of the memory operand; 0 for register forms. */
  readonly size: number;
  /** Operands as the decoder's table has them. */
  readonly operands: string;
}

const SIZES: Readonly<Record<string, number>> = { Mw: 2, Md: 4, Mq: 8, Mt: 10, Me: 28, Mf: 108 };
/** The ModRM byte of a memory operand at RDI. */
const AT_RDI = 7;
export const RET = 0xc3;

const OTHERS: readonly Encoding[] = [
  { name: 'fwait', bytes: [0x9b, RET], size: 0, operands: '' },
  { name: 'emms', bytes: [0x0f, 0x77], size: 0, operands: '' },
];

export const ENCODINGS: readonly Encoding[] = OTHERS.concat(
  ROWS.map((row): Encoding => {
    const [code, name] = row;
    const operands: string = row.length > 2 ? row[2]! : '';
    const [first, second] = code.split(' ') as [string, string];
    const opcode = Number.parseInt(first, 16);
    if (!second.startsWith('/')) return { name, bytes: [opcode, Number.parseInt(second, 16)], size: 0, operands };
    const digit = Number(second[1]) << 3;
    const size = SIZES[operands] ?? 0;
    return { name, bytes: [opcode, size === 0 ? 0xc0 | digit : digit | AT_RDI], size, operands };
  }),
);

/** A small generator of random numbers that can be started again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 to limit - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * limit);
  }

  bits64(): bigint {
    return (BigInt(this.below(0x1_0000_0000)) << 32n) | BigInt(this.below(0x1_0000_0000));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

const SIGNIFICANDS = [
  0n,
  1n,
  2n,
  0x8000_0000_0000_0000n,
  0x8000_0000_0000_0001n,
  0xffff_ffff_ffff_ffffn,
  0xc000_0000_0000_0000n,
  0xa000_0000_0000_0001n,
  0x7fff_ffff_ffff_ffffn,
  0x4000_0000_0000_0000n,
  0x8000_0080_0000_0000n,
  0x8000_0000_0000_0400n,
  0xffff_ffff_ffff_fbffn,
  0xffff_ff7f_ffff_ffffn,
] as const;

const EXPONENTS = [0, 0, 1, 2, 3, 62, 63, 64, 65, 0x7fff, 0x7fff, 0x7ffe, 0x7ffd, 0x3fff, 0x3ffe, 0x4000] as const;
/** Where singles and doubles, and 16, 32 and 64-bit and decimal integers end. */
const EDGES = [0x3fff + 127, 0x3fff - 126, 0x3fff - 149, 0x3fff + 1023, 0x3fff - 1022, 0x3fff - 1074].concat([
  0x3fff + 15,
  0x3fff + 31,
  0x3fff + 63,
  0x3fff + 59,
]);

/** A value in the 80-bit format: its sign and exponent, and its significand. */
export type Bits80 = readonly [high: number, low: bigint];

function significand(random: Random): bigint {
  const kind = random.below(8);
  if (kind < 3) return random.bits64() | (1n << 63n);
  if (kind === 3) return random.bits64();
  if (kind === 4) return (random.bits64() | (1n << 63n)) & ~((1n << BigInt(random.below(64))) - 1n);
  if (kind === 5) return random.bits64() >> BigInt(random.below(64));
  return random.pick(SIGNIFICANDS);
}

/** An operand: numbers of medium size, extremes, special values and invalid encodings. */
export function operand80(random: Random): Bits80 {
  const sign = random.below(2) << 15;
  const kind = random.below(10);
  const valid = significand(random) | (1n << 63n);
  if (kind < 3) return [sign | (0x3fff - 40 + random.below(110)), valid];
  if (kind === 3) return [sign | (0x3fff - 4 + random.below(8)), valid];
  if (kind === 4) return [sign | (random.pick(EDGES) - 2 + random.below(4)), valid];
  if (kind === 5) return [sign | random.below(0x8000), valid];
  if (kind === 6) {
    // An integer or half of one.
    const width = 1 + random.below(64);
    const integer = BigInt.asUintN(64, random.bits64() << BigInt(64 - width)) | (1n << 63n);
    return [sign | (0x3fff + random.below(width + 1)), integer];
  }
  return [sign | random.pick(EXPONENTS), significand(random)];
}

/** Like operand80, of a kind that the transcendental instructions have interesting answers to. */
export function argument80(random: Random): Bits80 {
  if (random.below(4) === 0) return operand80(random);
  const sign = random.below(2) << 15;
  const near = random.pick([70, 30, 6, 2]);
  return [sign | (0x3fff - near + random.below(near * 2)), significand(random) | (1n << 63n)];
}

/** A memory operand of `size` bytes: bytes 0 to 7, and 8 and 9. */
export function memoryOperand(random: Random, size: number, isFloat: boolean): readonly [low: bigint, high: number] {
  if (size === 10) {
    const [high, low] = operand80(random);
    return [low, high];
  }
  if (!isFloat) return [random.pick([random.bits64(), 0n, 1n, 0x8000n, 0x8000_0000n, 1n << 63n, -1n & 0xffffn]), 0];
  const [width, bias] = size === 4 ? [23, 127] : [52, 1023];
  const fraction = random.pick([random.bits64(), random.bits64(), 0n, 1n, 1n << BigInt(width - 1)]);
  const exponent = random.pick([bias, random.below(2 * bias + 2), bias - 3 + random.below(6), 0, 2 * bias + 1, 1]);
  const sign = BigInt(random.below(2)) << BigInt(size * 8 - 1);
  return [sign | (BigInt(exponent) << BigInt(width)) | BigInt.asUintN(width, fraction), 0];
}
