/** For tests: every form of every vector instruction as machine code, and operands for them. */
import { decode } from '../decode/decode.ts';
import { Insn, OPERAND } from '../decode/insn.ts';
import type { OpcodeRow } from '../decode/opcode-row.ts';
import { OPS, type OpName } from '../decode/opcodes.ts';
import { SSE_FLOAT } from '../decode/opcodes-sse-float.ts';
import { SSE_INTEGER } from '../decode/opcodes-sse-integer.ts';
import { formOf, type VectorForm, type VectorOp } from './vector-op.ts';
import { VECTOR_OPS } from './vector-ops.ts';

/** One form as an instruction; a is register 1, b register 2 (MMX: 0 and 1; general: RBX and RSI; memory: [RDI]). */
export interface VectorCase {
  readonly name: OpName;
  readonly op: VectorOp;
  readonly form: VectorForm;
  readonly code: readonly number[];
  /** Whether the last byte of the code is an immediate that may be any. */
  readonly immediate: boolean;
}

/** Not in the table of vector instructions: it is the x87's. */
const OTHERS: ReadonlySet<OpName> = new Set(['emms']);

const ROWS: readonly OpcodeRow<OpName>[] = [...SSE_FLOAT, ...SSE_INTEGER];

/** Number of the register that plays operand 0 or 1, by the letter of the operand. */
function register(letter: string, position: number): number {
  if ('VWU'.includes(letter)) return 1 + position;
  if ('PQN'.includes(letter)) return position;
  return position === 0 ? 3 : 6;
}

const PREFIX: Readonly<Record<string, readonly number[]>> = { np: [], 66: [0x66], f2: [0xf2], f3: [0xf3] };
const MEMORY_RDI = 7;

function encode(row: OpcodeRow, { memory, wide, imm }: Variant): number[] {
  const [prefix, ...rest] = row[0].split(' ');
  const opcode = rest.filter((token) => !token.startsWith('/')).map((token) => Number.parseInt(token, 16));
  const digit = rest.find((token) => token.startsWith('/'));
  const operands = (row[2] ?? '').trim().split(' ');
  const code = [...PREFIX[prefix!]!, ...(wide ? [0x48] : []), ...opcode];
  let reg = digit === undefined ? 0 : Number(digit.slice(1));
  let rm = 0;
  operands.forEach((token, i) => {
    if ('GVP'.includes(token[0]!)) reg = register(token[0]!, i);
    else if (token[0] !== 'I') rm = register(token[0]!, i);
  });
  code.push(memory ? (reg << 3) | MEMORY_RDI : 0xc0 | (reg << 3) | rm);
  if (operands.at(-1) === 'Ib') code.push(imm);
  return code;
}

interface Variant {
  readonly memory: boolean;
  readonly wide: boolean;
  readonly imm: number;
}

/** The rows' operands say which variants there are: M is memory only; U, N and R are registers only; y has REX.W. */
function variants(row: OpcodeRow<OpName>, op: VectorOp): Variant[] {
  const operands = row[2] ?? '';
  const memories = /\bM/.test(operands) ? [true] : /\b[UNR]/.test(operands) ? [false] : [false, true];
  const widths = /y\b/.test(operands) || row[1].startsWith('pcmpestr') ? [false, true] : [false];
  const immediates = op.immediate === undefined ? [0] : Array.from({ length: 256 }, (_, imm) => imm);
  return memories.flatMap((memory) => widths.flatMap((wide) => immediates.map((imm) => ({ memory, wide, imm }))));
}

/** All cases; throws if an instruction of the decoder is missing in the table, or one of its forms. */
export function vectorCases(): VectorCase[] {
  const ops = new Map(VECTOR_OPS.map((op) => [op.op, op]));
  return ROWS.filter((row) => !OTHERS.has(row[1])).flatMap((row) => {
    const name = row[1];
    const op = ops.get(name);
    if (op === undefined) throw new Error(`${name} has no semantics`);
    return variants(row, op).map((variant) => {
      const code = encode(row, variant);
      const insn = new Insn();
      const length = decode(Uint8Array.from(code), 0, code.length, 8, insn);
      if (length !== code.length || OPS[insn.op] !== name) throw new Error(`${name} was not encoded right`);
      const form = formOf(op, insn);
      if (form === undefined) throw new Error(`${name} has no form for "${row[2]}"`);
      const immediate = op.immediate === undefined && (insn.b.kind === OPERAND.imm || insn.c.kind === OPERAND.imm);
      return { name, op, form, code, immediate };
    });
  });
}

/** A small generator of pseudorandom numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** 32 bits. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(n: number): number {
    return this.next() % n;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  u64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }
}

const SPECIAL32: readonly bigint[] = [
  0x0000_0000n, // 0
  0x0000_0001n, // denormals
  0x007f_ffffn,
  0x0080_0000n, // the smallest normals
  0x0080_0001n,
  0x00ff_ffffn,
  0x3380_0000n,
  0x3eff_ffffn,
  0x3f00_0000n, // 0.5
  0x3f7f_ffffn,
  0x3f80_0000n, // 1
  0x3fc0_0000n, // 1.5
  0x4020_0000n, // 2.5
  0x4eff_ffffn, // around 2^31
  0x4f00_0000n,
  0x5eff_ffffn, // around 2^63
  0x5f00_0000n,
  0x7f7f_ffffn, // the largest
  0x7f80_0000n, // infinity
  0x7f80_0001n, // signaling NaN
  0x7fa1_2345n,
  0x7fc0_0000n, // quiet NaN
  0x7fd5_4321n,
];

const SPECIAL64: readonly bigint[] = [
  0x0000_0000_0000_0000n,
  0x0000_0000_0000_0001n,
  0x000f_ffff_ffff_ffffn,
  0x0010_0000_0000_0000n,
  0x0010_0000_0000_0001n,
  0x001f_ffff_ffff_ffffn,
  0x3690_0000_0000_0000n, // around the smallest of binary32
  0x380f_ffff_ffff_ffffn,
  0x380f_ffff_f000_0000n,
  0x3810_0000_0000_0000n,
  0x3fdf_ffff_ffff_ffffn,
  0x3fe0_0000_0000_0000n,
  0x3ff0_0000_0000_0000n,
  0x3ff8_0000_0000_0000n,
  0x4004_0000_0000_0000n,
  0x41df_ffff_ffc0_0000n, // around 2^31
  0x41df_ffff_ffdf_ffffn,
  0x41df_ffff_ffe0_0000n,
  0x41e0_0000_0000_0000n,
  0x41e0_0000_0010_0000n,
  0x43df_ffff_ffff_ffffn, // around 2^63
  0x43e0_0000_0000_0000n,
  0x47ef_ffff_e000_0000n, // around the largest of binary32
  0x47ef_ffff_efff_ffffn,
  0x47ef_ffff_f000_0000n,
  0x7fef_ffff_ffff_ffffn,
  0x7ff0_0000_0000_0000n,
  0x7ff0_0000_0000_0001n,
  0x7ff4_5678_9abc_def0n,
  0x7ff8_0000_0000_0000n,
  0x7ffa_bcde_f012_3456n,
];

/** Bits of a float of `bytes` bytes: a special one, one of moderate size, or any. */
function float(random: Random, bytes: 4 | 8): bigint {
  const kind = random.below(8);
  const sign = BigInt(random.below(2)) << BigInt(bytes * 8 - 1);
  if (kind < 3) return random.pick(bytes === 4 ? SPECIAL32 : SPECIAL64) | sign;
  if (kind < 4) return BigInt.asUintN(bytes * 8, random.u64());
  const [fraction, middle] = bytes === 4 ? [23, 127] : [52, 1023];
  const exponent = kind < 7 ? middle - 8 + random.below(40) : random.below(2 * middle) + 1;
  const digits =
    random.below(2) === 0 ? BigInt.asUintN(fraction, random.u64()) : BigInt(random.below(16)) << BigInt(fraction - 4);
  return sign | (BigInt(exponent) << BigInt(fraction)) | digits;
}

const EDGE_BYTES = [0, 0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff];

/** What operands are filled with. */
export type Filling = 'f32' | 'f64' | 'bytes' | 'any' | 'text';

function fill(random: Random, view: DataView, at: number, filling: Filling): void {
  for (let i = 0; i < 16; i += 8) {
    if (filling === 'f64') view.setBigUint64(at + i, float(random, 8), true);
    else if (filling === 'any') view.setBigUint64(at + i, random.u64(), true);
  }
  for (let i = 0; i < 16; i++) {
    if (filling === 'f32' && i % 4 === 0) view.setUint32(at + i, Number(float(random, 4)), true);
    else if (filling === 'bytes') view.setUint8(at + i, random.pick(EDGE_BYTES));
    else if (filling === 'text') view.setUint8(at + i, random.below(12) === 0 ? 0 : random.pick([1, 1, 2, 2, 3, 0xf0]));
  }
}

/** Fills two operands of 16 bytes; sometimes they are equal or nearly so. */
export function fillOperands(random: Random, view: DataView, a: number, b: number, filling: Filling): void {
  fill(random, view, a, filling);
  fill(random, view, b, filling);
  const kind = random.below(8);
  if (kind > 1) return;
  for (let i = 0; i < 16; i++) view.setUint8(b + i, view.getUint8(a + i));
  if (kind === 1) view.setUint8(b + random.below(16), random.next());
}
