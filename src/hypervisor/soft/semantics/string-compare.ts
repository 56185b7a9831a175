import type { OpName } from '../decode/opcodes.ts';
import { exactCode } from '../fpu/exact-code.ts';
import { type VectorOp, XMM } from './vector-op.ts';

/** The string comparisons of SSE4.2: done by TypeScript (fpu/string-compare.ts). */
function stringCompare(op: OpName, implicit: NonNullable<VectorOp['implicit']>): VectorOp {
  return { op, a: 'r', forms: XMM, implicit, emit: (e, form) => e.exact(exactCode(op, form.opSize)) };
}

export const STRING_COMPARE: readonly VectorOp[] = [
  stringCompare('pcmpestri', ['rax', 'rdx', 'rcx']),
  stringCompare('pcmpestrm', ['rax', 'rdx', 'xmm0']),
  stringCompare('pcmpistri', ['rcx']),
  stringCompare('pcmpistrm', ['xmm0']),
];
