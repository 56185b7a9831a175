import { STRING_COMPARE } from './string-compare.ts';
import { VECTOR_CONVERT } from './vector-convert.ts';
import { VECTOR_FLOAT } from './vector-float.ts';
import { VECTOR_INTEGER } from './vector-integer.ts';
import { VECTOR_MOVE } from './vector-move.ts';
import type { VectorOp } from './vector-op.ts';
import { VECTOR_SHIFT } from './vector-shift.ts';
import { VECTOR_SHUFFLE } from './vector-shuffle.ts';

/** Every vector instruction (MMX, SSE to SSE4.2) but emms, which is the x87's. */
export const VECTOR_OPS: readonly VectorOp[] = [
  ...VECTOR_MOVE,
  ...VECTOR_INTEGER,
  ...VECTOR_SHIFT,
  ...VECTOR_SHUFFLE,
  ...VECTOR_FLOAT,
  ...VECTOR_CONVERT,
  ...STRING_COMPARE,
];
