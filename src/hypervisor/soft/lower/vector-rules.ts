/**
 * How vector instructions become micro-operations: a memory operand goes through the vector temporary (or t1 where the
 * instruction has a general register in that place), everything else is one micro-operation for each form.
 */
import type { Operand } from '../decode/insn.ts';
import type { OpName } from '../decode/opcodes.ts';
import type { Emit } from '../semantics/emit.ts';
import { formOf, type VectorForm, type VectorOp } from '../semantics/vector-op.ts';
import { VECTOR_OPS } from '../semantics/vector-ops.ts';
import { MMX_FIRST, SLOT, XMM_TEMP } from '../state.ts';
import type { Lowering } from './lowering.ts';
import { rule } from './rules.ts';

/** Memory operands of 16 bytes that need not be aligned (SDM vol. 1, 11.4.4 and 12.12.3). */
const UNALIGNED = new Set<OpName>([
  'movups',
  'movupd',
  'movdqu',
  'lddqu',
  'pcmpestri',
  'pcmpestrm',
  'pcmpistri',
  'pcmpistrm',
]);

export function defineVectorRules(): void {
  for (const op of VECTOR_OPS) rule([op.op], () => (l) => lowerVector(l, op));
}

function lowerVector(l: Lowering, op: VectorOp): void {
  const form = formOf(op, l.insn);
  if (form === undefined) throw new Error(`${op.op} has no form for its operands`);
  if (l.noFpu || (l.noSse && form.files.includes('x'))) {
    l.callout(true);
    return;
  }
  const [fileA, fileB] = [form.files[0]!, form.files[1]!];
  // An integer vector that CVTPI2PS and CVTPI2PD load is no MMX register.
  const entersMmx = fileA === 'm' || (fileB === 'm' && form.memory !== 'b');
  if (op.special === 'maskmove') {
    if (entersMmx) l.emit('mmx.enter');
    lowerMaskMove(l, op, form);
    return;
  }
  if (entersMmx && form.memory !== undefined) l.emit('mmx.check');
  const { a, b } = l.insn;
  const store = form.memory === 'a' ? l.address(a.size, true) : undefined;
  const slotB = form.memory === 'b' ? loadOperand(l, op, b, fileB) : place(b, fileB);
  const slotA = form.memory === 'a' ? (fileA === 'g' ? SLOT.t1 : XMM_TEMP) : place(a, fileA);
  // Behind the accesses, as their faults leave the x87 registers alone.
  if (entersMmx && store === undefined) l.emit('mmx.enter');
  emitForm(l, op, form, slotA, slotB);
  if (store === undefined) return;
  if (fileA === 'g') l.emit(`store.${a.size}`, store);
  else l.emit(`storev.${widthName(op, a.size)}`, store);
  if (entersMmx) l.emit('mmx.enter');
}

function emitForm(l: Lowering, op: VectorOp, form: VectorForm, a: number, b: number): void {
  const { files, sizeA, sizeB, opSize, memory, imm } = form;
  const name = `${op.op}.${files}.${sizeA}.${sizeB}.${opSize === 8 ? 'w' : ''}${memory ?? ''}${imm === undefined ? '' : `.${imm}`}`;
  const semantics = (e: Emit) => {
    e.files = files;
    op.emit(e, form);
  };
  l.emit(name, { a, b, imm: l.insn.imm }, semantics);
}

/** The register's place in its file; MMX registers are numbered behind the XMM registers and temporaries. */
function place(operand: Operand, file: string): number {
  if (file === 'x') return operand.reg;
  if (file === 'm') return MMX_FIRST + operand.reg;
  return file === 'g' ? operand.reg * 8 : 0;
}

function loadOperand(l: Lowering, op: VectorOp, b: Operand, file: string): number {
  const address = l.address(b.size, false);
  if (file === 'g') {
    l.emit(`load.${b.size}`, address);
    return SLOT.t1;
  }
  l.emit(`loadv.${widthName(op, b.size)}`, address);
  return XMM_TEMP;
}

const widthName = (op: VectorOp, size: number) => (size === 16 && UNALIGNED.has(op.op) ? '16u' : String(size));

/** MASKMOVQ and MASKMOVDQU store the bytes of a that the mask in t3 selects, at seg:rDI. */
function lowerMaskMove(l: Lowering, op: VectorOp, form: VectorForm): void {
  const { insn } = l;
  emitForm(l, op, form, place(insn.a, form.files[0]!), place(insn.b, form.files[1]!));
  insn.base = SLOT.rdi / 8;
  const address = l.address(insn.a.size, true);
  l.emit(`maskmove.${insn.a.size}`, { ...address, a: place(insn.a, form.files[0]!) });
}
