/**
 * What a vector instruction (MMX, SSE to SSE4.2) looks like to the lowering, and helpers that its semantics share.
 *
 * Semantics see registers only. The lowering loads a memory operand b into a temporary before (zero-extended, as many
 * bytes as the operand is wide) and passes the temporary; a memory operand a is stored from a temporary after, again as
 * many bytes as the operand is wide. Both times `VectorForm.memory` says so, because a few moves differ there.
 */
import { type Insn, OPERAND } from '../decode/insn.ts';
import type { OpName } from '../decode/opcodes.ts';
import { V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';
import { SIMD } from '../wasm/simd.ts';
import type { Emit } from './emit.ts';

/** What vector semantics need of Emit. */
export type VectorEmit = Pick<
  Emit,
  | 'f'
  | 'cpu'
  | 'flags'
  | 'get'
  | 'getSigned'
  | 'set'
  | 'getSlot'
  | 'setSlot'
  | 'imm32'
  | 'knownImm'
  | 'vector'
  | 'setVector'
  | 'vectorRegister'
  | 'setVectorRegister'
  | 'exact'
  | 'exactInstead'
  | 'rareFloat'
  | 'floats'
>;

/** The register files of operands a and b: x XMM, m MMX, g general, i: b is the immediate. */
export type VectorFiles = 'xx' | 'mm' | 'xm' | 'mx' | 'xg' | 'gx' | 'mg' | 'gm' | 'xi' | 'mi';

/** One form of an instruction, as it was decoded. */
export interface VectorForm {
  readonly files: VectorFiles;
  /** Operand.size of the decoded operands, in bytes. */
  readonly sizeA: number;
  readonly sizeB: number;
  /** Insn.opSize: 8 under REX.W. */
  readonly opSize: number;
  /** The operand that is in memory, if one is. */
  readonly memory?: 'a' | 'b';
  /** What VectorOp.immediate made of the immediate. */
  readonly imm?: number;
}

export interface VectorOp {
  readonly op: OpName;
  /** How operand a is used. */
  readonly a: 'r' | 'w' | 'rw';
  readonly forms: readonly VectorFiles[];
  /** Registers beside the operands that are read or written, in the vCPU's block. */
  readonly implicit?: readonly ('xmm0' | 'rax' | 'rcx' | 'rdx')[];
  /**
   * maskmove: the semantics leave in SLOT.t3 one bit for each byte of a that is to be stored at seg:rDI plus its number;
   * the lowering stores those bytes.
   */
  readonly special?: 'maskmove';
  /**
   * For instructions whose semantics are emitted for each immediate: the immediate (a byte) that stands for all that mean
   * the same.
   */
  readonly immediate?: (imm: number) => number;
  readonly emit: (e: VectorEmit, form: VectorForm) => void;
}

/** The register file of an operand; undefined for memory, which can stand for any. */
function fileOf(kind: number): string | undefined {
  if (kind === OPERAND.xmm) return 'x';
  if (kind === OPERAND.mmx) return 'm';
  if (kind === OPERAND.gpr) return 'g';
  return kind === OPERAND.imm ? 'i' : undefined;
}

/** The form of a decoded instruction; undefined if the instruction has no such form. */
export function formOf(op: VectorOp, insn: Insn): VectorForm | undefined {
  const [a, b] = [fileOf(insn.a.kind), fileOf(insn.b.kind)];
  const files = op.forms.find((f) => (a ?? f[0]) === f[0] && (b ?? f[1]) === f[1]);
  if (files === undefined) return undefined;
  const form: VectorForm = {
    files,
    sizeA: insn.a.size,
    sizeB: insn.b.size,
    opSize: insn.opSize,
    ...(op.immediate === undefined ? {} : { imm: op.immediate(insn.imm) }),
  };
  if (insn.a.kind === OPERAND.mem) return { ...form, memory: 'a' };
  return insn.b.kind === OPERAND.mem ? { ...form, memory: 'b' } : form;
}

export const XMM: readonly VectorFiles[] = ['xx'];
export const MMX: readonly VectorFiles[] = ['mm'];
export const XMM_MMX: readonly VectorFiles[] = ['xx', 'mm'];

/** Semantics as a function of the two operands, which come as locals. */
type Binary = (a: V128, b: V128, f: FunctionBuilder, form: VectorForm) => V128;

/** a = operation(a, b). */
export function binary(op: OpName, forms: readonly VectorFiles[], operation: Binary): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const a = e.f.let(e.vector('a'));
    const b = e.f.let(e.vector('b'));
    e.setVector('a', operation(a, b, e.f, form));
  };
  return { op, a: 'rw', forms, emit };
}

/** a = operation(b). */
export function unary(
  op: OpName,
  forms: readonly VectorFiles[],
  operation: (b: V128, f: FunctionBuilder) => V128,
): VectorOp {
  const emit = (e: VectorEmit) => e.setVector('a', operation(e.f.let(e.vector('b')), e.f));
  return { op, a: 'w', forms, emit };
}

/** a = a (instruction) b, for one instruction of WebAssembly. */
export function direct(op: OpName, forms: readonly VectorFiles[], simd: number): VectorOp {
  return { op, a: 'rw', forms, emit: (e) => e.setVector('a', e.vector('a').simd(simd, e.vector('b'))) };
}

export const isMmx = (form: VectorForm): boolean => form.files.startsWith('m');

export const zero = (): V128 => V128.const(new Array<number>(16).fill(0));

/** Lane numbers 0 to 15 in bytes. */
export const bytes = (lane: (i: number) => number): V128 =>
  V128.const(Array.from({ length: 16 }, (_, i) => lane(i) & 0xff));

export const iota = (): V128 => bytes((i) => i);

/** A constant of eight 16-bit lanes. */
export const words = (lane: (i: number) => number): V128 => bytes((i) => lane(i >> 1) >> ((i & 1) * 8));

/** A constant of four 32-bit lanes. */
export const dwords = (lane: (i: number) => number): V128 => bytes((i) => lane(i >> 2) >> ((i & 3) * 8));

/** A constant of two 64-bit lanes, each a small number. */
export const qwords = (lane: (i: number) => number): V128 =>
  bytes((i) => ((i & 7) < 4 ? lane(i >> 3) >> ((i & 7) * 8) : 0));

/** Sixteen lane numbers of a shuffle from those of its elements, `width` bytes each; element numbers run over a, then b. */
export const lanes = (width: number, elements: readonly number[]): number[] =>
  Array.from({ length: 16 }, (_, i) => elements[Math.floor(i / width) % elements.length]! * width + (i % width));

/** mask ? a : b, bit by bit. */
export const bitselect = (a: V128, b: V128, mask: V128): V128 => a.simd(SIMD.bitselect, b, mask);
