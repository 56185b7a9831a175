import type { OpcodeRow } from './opcode-row.ts';
import { ONE_BYTE } from './opcodes-one-byte.ts';
import { SSE_FLOAT } from './opcodes-sse-float.ts';
import { SSE_INTEGER } from './opcodes-sse-integer.ts';
import { TWO_BYTE } from './opcodes-two-byte.ts';
import { X87 } from './opcodes-x87.ts';

type TableName =
  | (typeof ONE_BYTE)[number][1]
  | (typeof TWO_BYTE)[number][1]
  | (typeof X87)[number][1]
  | (typeof SSE_FLOAT)[number][1]
  | (typeof SSE_INTEGER)[number][1];

/** The name of a semantic operation: the mnemonic in lower case; jcc, setcc and cmovcc stand for all their conditions. */
export type OpName = 'invalid' | TableName;

/** Every opcode that the CPU has (x86-64-v1, SSE3, SSSE3, SSE4.1, SSE4.2, POPCNT, CMPXCHG16B, RDRAND, RDTSCP). */
export const OPCODES: readonly OpcodeRow<TableName>[] = [
  ...ONE_BYTE,
  ...TWO_BYTE,
  ...X87,
  ...SSE_FLOAT,
  ...SSE_INTEGER,
];

/** Semantic operations: the index is Insn.op. */
export const OPS: readonly OpName[] = ['invalid', ...new Set(OPCODES.map((row) => row[1]))];

/** Insn.op of each semantic operation. */
export const OP = Object.fromEntries(OPS.map((name, index) => [name, index])) as Readonly<Record<OpName, number>>;
