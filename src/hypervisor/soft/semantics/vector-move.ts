import type { OpName } from '../decode/opcodes.ts';
import { SLOT } from '../state.ts';
import { type I32, V128 } from '../wasm/expr.ts';
import { SIMD } from '../wasm/simd.ts';
import type { Size } from './flags.ts';
import {
  bitselect,
  dwords,
  iota,
  lanes,
  qwords,
  unary,
  type VectorEmit,
  type VectorForm,
  type VectorOp,
  words,
  XMM,
  XMM_MMX,
  zero,
} from './vector-op.ts';

const copy = (op: OpName, forms: VectorOp['forms'] = XMM): VectorOp => ({
  op,
  a: 'w',
  forms,
  emit: (e) => e.setVector('a', e.vector('b')),
});

/** movss and movsd: a load clears the rest of the register, a move between registers leaves it. */
function moveScalar(op: OpName, mergeLanes: readonly number[]): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const b = e.vector('b');
    e.setVector('a', form.memory === undefined ? b.shuffle(e.vector('a'), mergeLanes) : b);
  };
  return { op, a: 'rw', forms: XMM, emit };
}

/** movlps, movlpd: 8 bytes between memory and the low half. */
function moveLow(e: VectorEmit, form: VectorForm): void {
  const b = e.vector('b');
  e.setVector('a', form.memory === 'a' ? b : b.shuffle(e.vector('a'), lanes(8, [0, 3])));
}

/** movhps, movhpd: 8 bytes between memory and the high half. */
function moveHigh(e: VectorEmit, form: VectorForm): void {
  if (form.memory === 'a') {
    const b = e.f.let(e.vector('b'));
    e.setVector('a', b.shuffle(b, lanes(8, [1, 1])));
  } else {
    e.setVector('a', e.vector('a').shuffle(e.vector('b'), lanes(8, [0, 2])));
  }
}

/** movd, and movq between general and vector registers: the size of the general operand decides. */
function moveGeneral(e: VectorEmit, form: VectorForm): void {
  if (form.files === 'gx' || form.files === 'gm') e.set('a', form.sizeA as Size, e.vector('b').extractI64(0));
  else e.setVector('a', zero().replaceI64(0, e.get('b', form.sizeB as Size)));
}

/** The low half of b, and zeros above. */
const lowHalf = (v: V128): V128 => zero().replaceI64(0, v.extractI64(0));

/** One bit for the sign of each element. */
function signs(op: OpName, simd: number, forms: VectorOp['forms']): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const bits = e.vector('b').simdI32(simd);
    e.set('a', form.sizeA as Size, (form.files === 'gm' ? bits.and(0xff) : bits).toI64());
  };
  return { op, a: 'w', forms, emit };
}

/** pextrb and its kin: element number `imm` of b. */
function extract(op: OpName, width: (form: VectorForm) => number, forms: VectorOp['forms']): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const size = width(form);
    const count = (form.files === 'gm' ? 8 : 16) / size;
    const first = e
      .imm32()
      .and(count - 1)
      .mul(size);
    const element = e
      .vector('b')
      .simd(SIMD.swizzle, iota().simd(SIMD.addI8, V128.splatI8(first)))
      .extractI64(0);
    e.set('a', form.sizeA as Size, size === 8 ? element : element.and(2 ** (8 * size) - 1));
  };
  return { op, a: 'w', forms, emit };
}

const SPLAT: Readonly<Record<number, (e: VectorEmit) => V128>> = {
  1: (e) => V128.splatI8(e.get('b', 1).wrap()),
  2: (e) => V128.splatI16(e.get('b', 2).wrap()),
  4: (e) => V128.splatI32(e.get('b', 4).wrap()),
  8: (e) => V128.splatI64(e.get('b', 8)),
};

/** All ones in the element with this number. */
function elementMask(width: number, index: I32): V128 {
  if (width === 1) return V128.splatI8(index).simd(SIMD.eqI8, iota());
  if (width === 2)
    return V128.splatI16(index).simd(
      SIMD.eqI16,
      words((i) => i),
    );
  if (width === 4)
    return V128.splatI32(index).simd(
      SIMD.eqI32,
      dwords((i) => i),
    );
  return V128.splatI64(index.toI64()).simd(
    SIMD.eqI64,
    qwords((i) => i),
  );
}

/** pinsrb and its kin: the general operand becomes element number `imm` of a. */
function insert(op: OpName, width: (form: VectorForm) => number, forms: VectorOp['forms']): VectorOp {
  const emit = (e: VectorEmit, form: VectorForm) => {
    const size = width(form);
    const count = (form.files === 'mg' ? 8 : 16) / size;
    const mask = elementMask(size, e.imm32().and(count - 1));
    e.setVector('a', bitselect(SPLAT[size]!(e), e.vector('a'), mask));
  };
  return { op, a: 'rw', forms, emit };
}

/** One bit in t3 for each byte of a that b selects. */
function maskMove(e: VectorEmit, form: VectorForm): void {
  const bits = e.vector('b').simdI32(SIMD.bitmaskI8);
  e.setSlot(SLOT.t3, 8, (form.files === 'mm' ? bits.and(0xff) : bits).toI64());
}

/** Moves of MMX to SSE4.1, between registers of all files. */
export const VECTOR_MOVE: readonly VectorOp[] = [
  ...(['movaps', 'movapd', 'movups', 'movupd', 'movdqa', 'movdqu', 'lddqu'] as const).map((op) => copy(op)),
  ...(['movntps', 'movntpd', 'movntdq', 'movntdqa'] as const).map((op) => copy(op)),
  copy('movntq', ['mm']),
  copy('movdq2q', ['mx']),
  moveScalar('movss', lanes(4, [0, 5, 6, 7])),
  moveScalar('movsd', lanes(8, [0, 3])),
  { op: 'movlps', a: 'rw', forms: XMM, emit: moveLow },
  { op: 'movlpd', a: 'rw', forms: XMM, emit: moveLow },
  { op: 'movhps', a: 'rw', forms: XMM, emit: moveHigh },
  { op: 'movhpd', a: 'rw', forms: XMM, emit: moveHigh },
  {
    op: 'movhlps',
    a: 'rw',
    forms: XMM,
    emit: (e) => e.setVector('a', e.vector('b').shuffle(e.vector('a'), lanes(8, [1, 3]))),
  },
  {
    op: 'movlhps',
    a: 'rw',
    forms: XMM,
    emit: (e) => e.setVector('a', e.vector('a').shuffle(e.vector('b'), lanes(8, [0, 2]))),
  },
  { op: 'movd', a: 'w', forms: ['xg', 'gx', 'mg', 'gm'], emit: moveGeneral },
  unary('movq', XMM_MMX, lowHalf),
  unary('movq2dq', ['xm'], lowHalf),
  signs('pmovmskb', SIMD.bitmaskI8, ['gx', 'gm']),
  signs('movmskps', SIMD.bitmaskI32, ['gx']),
  signs('movmskpd', SIMD.bitmaskI64, ['gx']),
  extract('pextrb', () => 1, ['gx']),
  extract('pextrw', () => 2, ['gx', 'gm']),
  extract('pextrd', (form) => form.sizeA, ['gx']),
  extract('extractps', () => 4, ['gx']),
  insert('pinsrb', () => 1, ['xg']),
  insert('pinsrw', () => 2, ['xg', 'mg']),
  insert('pinsrd', (form) => form.sizeB, ['xg']),
  { op: 'maskmovdqu', a: 'r', forms: XMM, special: 'maskmove', emit: maskMove },
  { op: 'maskmovq', a: 'r', forms: ['mm'], special: 'maskmove', emit: maskMove },
];
