/**
 * Instructions with LOCK and a memory operand, and XCHG with one, for VMs of several vCPUs: one micro-operation reads,
 * changes and writes memory as one atomic access. They are full barriers, as MFENCE is (Intel SDM vol. 3, 9.2).
 */
import { FLAG } from '../architecture.ts';
import type { LockedKind } from '../mmu/locked.ts';
import { SLOT } from '../state.ts';
import { atomicCompareExchange, atomicFence, atomicRmw } from '../wasm/atomics.ts';
import { I64, type I64Like } from '../wasm/expr.ts';
import type { Local } from '../wasm/function-builder.ts';
import { BINARY, UNARY } from './arithmetic.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import { type Size, zeroExtend } from './flags.ts';

const NOTHING = I64.const(0);

/** Changes the memory operand; gives what was there, zero-extended. Operands are locals or constants, zero-extended. */
function update(e: Emit, kind: LockedKind, size: Size, operand: I64, expected: I64 = NOTHING): Local<'i64'> {
  const { f } = e;
  const at = f.let(e.address());
  const host = f.let(e.hostForWrite(at));
  const old = f.local('i64');
  const slow = () => f.set(old, e.lockedAccess(kind, at, size, operand, expected));
  if (kind === 'negate') {
    slow();
    return old;
  }
  const isAligned = host.and(size - 1).eqz();
  f.if(
    host.ne(0).and(isAligned),
    () =>
      f.set(
        old,
        kind === 'compareExchange'
          ? atomicCompareExchange(f, host, size, expected, operand)
          : atomicRmw(f, kind, host, size, operand),
      ),
    slow,
  );
  return old;
}

/** ADD OR ADC SBB AND SUB XOR. */
function binary(e: Emit, name: string, size: Size, right: I64): void {
  const { f } = e;
  const b = f.let(right);
  const carries = name === 'adc' || name === 'sbb';
  const operand = carries ? f.let(zeroExtend(b.add(e.flags.cf64()), size)) : b;
  const kind = name === 'adc' ? 'add' : name === 'sbb' ? 'sub' : (name as LockedKind);
  BINARY[name]!(e, update(e, kind, size, operand), b, size);
}

/** INC DEC NEG NOT, by what they are as an access. */
const UNARY_KINDS: Readonly<Record<string, readonly [LockedKind, I64Like]>> = {
  inc: ['add', 1],
  dec: ['sub', 1],
  neg: ['negate', 0],
  not: ['xor', -1],
};

function unary(e: Emit, name: string, size: Size): void {
  const [kind, operand] = UNARY_KINDS[name]!;
  const old = update(e, kind, size, I64.of(operand));
  e.f.drop(UNARY[name]!(e, old, size));
}

const BIT_KINDS: Readonly<Record<string, LockedKind>> = { bts: 'or', btr: 'and', btc: 'xor' };

/** The flags are those of the plain ones: bits.ts. */
function bit(e: Emit, name: string, size: Size, number: I64): void {
  const { f } = e;
  const n = f.let(number.and(size * 8 - 1));
  const mask = f.let(I64.const(1).shl(n));
  const old = update(e, BIT_KINDS[name]!, size, name === 'btr' ? f.let(mask.xor(-1)) : mask);
  e.flags.carry(old.shrU(n).and(1));
}

function exchangeAdd(e: Emit, size: Size): void {
  const b = e.f.let(e.get('b', size));
  const old = update(e, 'add', size, b);
  const sum = e.f.let(zeroExtend(old.add(b), size));
  e.set('b', size, old);
  e.flags.add(old, b, sum, size);
}

function compareExchange(e: Emit, size: Size): void {
  const { f } = e;
  const expected = f.let(e.getSlot(SLOT.rax, size));
  const old = update(e, 'compareExchange', size, f.let(e.get('b', size)), expected);
  const difference = f.let(zeroExtend(expected.sub(old), size));
  f.if(difference.ne(0), () => e.setSlot(SLOT.rax, size, old));
  e.flags.sub(expected, old, difference, size);
}

/** Of the flags only ZF changes. */
function compareExchange8Bytes(e: Emit): void {
  const { f } = e;
  const pair = (high: number, low: number) => f.let(e.getSlot(high, 4).shl(32).or(e.getSlot(low, 4)));
  const expected = pair(SLOT.rdx, SLOT.rax);
  const old = update(e, 'compareExchange', 8, pair(SLOT.rcx, SLOT.rbx), expected);
  f.if(old.ne(expected), () => {
    e.setSlot(SLOT.rax, 4, old.and(0xffff_ffff));
    e.setSlot(SLOT.rdx, 4, old.shrU(32));
  });
  e.flags.load(e.flags.image().and(~FLAG.zf).or(old.eq(expected).shl(6)));
}

export function defineLocked(ops: MicroOps): void {
  for (const size of SIZES) {
    for (const name of ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor']) {
      ops.cold(`lock.${name}.${size}.r`, (e) => binary(e, name, size, e.get('b', size)));
      ops.cold(`lock.${name}.${size}.i`, (e) => binary(e, name, size, zeroExtend(e.imm(), size)));
    }
    for (const name of Object.keys(UNARY_KINDS)) ops.cold(`lock.${name}.${size}`, (e) => unary(e, name, size));
    if (size > 1) {
      for (const name of Object.keys(BIT_KINDS)) {
        ops.cold(`lock.${name}.${size}.r`, (e) => bit(e, name, size, e.get('b', size)));
        ops.cold(`lock.${name}.${size}.i`, (e) => bit(e, name, size, e.imm()));
      }
    }
    ops.cold(`lock.xadd.${size}`, (e) => exchangeAdd(e, size));
    ops.cold(`lock.xchg.${size}`, (e) => e.set('b', size, update(e, 'exchange', size, e.f.let(e.get('b', size)))));
    ops.cold(`lock.cmpxchg.${size}`, (e) => compareExchange(e, size));
  }
  ops.cold('lock.cmpxchg8b', compareExchange8Bytes);
  ops.cold('mfence', (e) => atomicFence(e.f));
}
