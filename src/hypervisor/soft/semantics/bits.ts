/** Bit instructions, conditional moves and sets, compare-exchange, byte swaps, CRC32, flag instructions. */

import { FLAG } from '../architecture.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, I64, select } from '../wasm/expr.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import { type Size, zeroExtend } from './flags.ts';

const BT: Readonly<Record<string, (a: I64, bit: I64) => I64>> = {
  bts: (a, bit) => a.or(bit),
  btr: (a, bit) => a.and(bit.xor(-1)),
  btc: (a, bit) => a.xor(bit),
};

/** CF = the bit; OF, SF, AF, PF (undefined) and ZF (unchanged) stay, as on current CPUs. */
function bitTest(e: Emit, number: I64, size: Size, change?: (a: I64, bit: I64) => I64): void {
  const { f } = e;
  const a = f.let(e.get('a', size));
  const n = f.let(number.and(size * 8 - 1));
  if (change !== undefined) e.set('a', size, f.let(change(a, I64.const(1).shl(n))));
  e.flags.carry(a.shrU(n).and(1));
}

/** BSF and BSR: ZF if the source is 0, and the destination stays (as AMD documents and Intel does). */
function bitScan(e: Emit, size: Size, found: (b: I64) => I64): void {
  const { f } = e;
  const b = f.let(e.get('b', size));
  const old = f.let(e.get('a', size));
  e.flags.logic(b, size);
  // A 32-bit destination keeps its upper half too when the source is 0.
  f.if(
    b.ne(0),
    () => e.set('a', size, found(b)),
    () => size !== 4 && e.set('a', size, old),
  );
}

function popcnt(e: Emit, size: Size): void {
  const b = e.f.let(e.get('b', size));
  e.set('a', size, b.popcnt());
  // Only ZF can be set: a non-zero source must not leave SF or PF behind.
  e.flags.load(b.eqz().shl(6));
}

function byteSwap(e: Emit, size: 4 | 8): I64 {
  const { f } = e;
  const v = f.let(e.get('a', size));
  const swap = (value: I64, mask: bigint, shift: number) =>
    f.let(
      value
        .and(I64.const(mask))
        .shl(shift)
        .or(value.shrU(shift).and(I64.const(mask))),
    );
  const halves = swap(swap(v, 0x00ff_00ff_00ff_00ffn, 8), 0x0000_ffff_0000_ffffn, 16);
  const swapped = halves.rotl(32);
  return size === 8 ? swapped : swapped.shrU(32);
}

/** One step of CRC32C (polynomial 0x11EDC6F41, reflected) for each of the 8 bits of each byte. */
function crc32(e: Emit, size: Size): void {
  const { f } = e;
  const crc = f.variable(e.get('a', 4).xor(e.get('b', size)));
  const high = f.let(e.get('b', size).and(size === 8 ? I64.const(0xffff_ffff_0000_0000n) : I64.const(0)));
  f.set(crc, crc.and(0xffff_ffff).xor(high));
  const i = f.variable(I32.const(size * 8));
  f.loop((again) => {
    f.set(crc, crc.shrU(1).xor(I64.const(0).sub(crc.and(1)).and(0x82f6_3b78)));
    f.set(i, i.sub(1));
    f.brIf(again, i);
  });
  e.set('a', 4, crc.and(0xffff_ffff));
}

export function defineBits(ops: MicroOps): void {
  for (const size of [2, 4, 8] as const) {
    const hot = size >= 4 ? 'hot' : 'cold';
    ops[hot](`bt.${size}.rr`, (e) => bitTest(e, e.get('b', size), size));
    ops[hot](`bt.${size}.ri`, (e) => bitTest(e, e.imm(), size));
    for (const [name, change] of Object.entries(BT)) {
      ops.cold(`${name}.${size}.rr`, (e) => bitTest(e, e.get('b', size), size, change));
      ops.cold(`${name}.${size}.ri`, (e) => bitTest(e, e.imm(), size, change));
    }
    ops.cold(`bsf.${size}`, (e) => bitScan(e, size, (b) => b.ctz()));
    ops.cold(`bsr.${size}`, (e) => bitScan(e, size, (b) => I64.const(63).sub(b.clz())));
    ops.cold(`popcnt.${size}`, (e) => popcnt(e, size));
    for (let cc = 0; cc < 16; cc++) {
      ops[size === 8 && (cc & 14) === 4 ? 'hot' : 'cold'](`cmovcc.${size}.${cc}`, (e) => {
        const value = e.f.let(e.get('b', size));
        e.set('a', size, select(e.flags.condition(cc), value, e.f.let(e.get('a', size))));
      });
    }
  }
  for (let cc = 0; cc < 16; cc++) {
    ops[cc < 6 && cc > 1 ? 'hot' : 'cold'](`setcc.${cc}`, (e) => e.set('a', 1, e.flags.condition(cc).toI64()));
  }
  for (const size of SIZES) {
    ops.cold(`xadd.${size}`, (e) => {
      const a = e.f.let(e.get('a', size));
      const b = e.f.let(e.get('b', size));
      const sum = e.f.let(zeroExtend(a.add(b), size));
      e.set('b', size, a);
      e.set('a', size, sum);
      e.flags.add(a, b, sum, size);
    });
    ops.cold(`cmpxchg.${size}`, (e) => compareExchange(e, size));
    ops.cold(`crc32.${size}`, (e) => crc32(e, size));
  }
  ops.cold('bswap.4', (e) => e.set('a', 4, byteSwap(e, 4)));
  ops.cold('bswap.8', (e) => e.set('a', 8, byteSwap(e, 8)));
  // BSWAP of a 16-bit register is undefined; CPUs give 0.
  ops.cold('bswap.2', (e) => e.set('a', 2, I64.const(0)));
  defineFlagOps(ops);
}

function compareExchange(e: Emit, size: Size): void {
  const { f } = e;
  const a = f.let(e.get('a', size));
  const b = f.let(e.get('b', size));
  const expected = f.let(e.getSlot(SLOT.rax, size));
  const difference = f.let(zeroExtend(expected.sub(a), size));
  f.if(
    difference.eqz(),
    () => e.set('a', size, b),
    () => {
      // The destination is written back in any case; only rAX of a failed compare is zero-extended (32 bits).
      e.setSlot(SLOT.rax, size, a);
    },
  );
  e.flags.sub(expected, a, difference, size);
}

function defineFlagOps(ops: MicroOps): void {
  const eflags = (e: Emit, change: (v: I32) => I32) =>
    e.f.store32(e.cpu, CPU.eflags, change(e.f.load32(e.cpu, CPU.eflags)));
  ops.cold('clc', (e) => e.flags.carry(I64.const(0)));
  ops.cold('stc', (e) => e.flags.carry(I64.const(1)));
  ops.cold('cmc', (e) => e.flags.carry(e.flags.cf64().xor(1)));
  ops.cold('cld', (e) => eflags(e, (v) => v.and(~FLAG.df)));
  ops.cold('std', (e) => eflags(e, (v) => v.or(FLAG.df)));
  ops.cold('lahf', (e) => e.setSlot(SLOT.rax + 1, 1, e.flags.image().and(0xff).or(2).toI64()));
  ops.cold('sahf', (e) => {
    const of = e.f.let(e.flags.of().shl(11));
    e.flags.load(
      e
        .getSlot(SLOT.rax + 1, 1)
        .wrap()
        .or(of),
    );
  });
}
