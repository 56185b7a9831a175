/** Moves between slots and memory, address computation, and the micro-operations that memory operands go through. */

import { VECTOR } from '../architecture.ts';
import { CPU, SEGMENT, SEGMENT_SIZE, SLOT } from '../state.ts';
import { type I32, I64 } from '../wasm/expr.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import { type Size, zeroExtend } from './flags.ts';

export function defineMoves(ops: MicroOps): void {
  for (const size of SIZES) {
    const wide = size >= 4;
    ops.hot(`mov.${size}.rr`, (e) => e.set('a', size, e.get('b', size)));
    ops[wide ? 'hot' : 'cold'](`mov.${size}.ri`, (e) => e.set('a', size, zeroExtend(e.imm(), size)));
    ops.hot(`mov.${size}.rm`, (e) => e.set('a', size, e.load(e.address(), size)));
    ops.hot(`mov.${size}.mr`, (e) => e.store(e.address(), size, e.get('b', size)));
    ops.hot(`mov.${size}.mi`, (e) => e.store(e.address(), size, e.imm()));
    // Memory operands of other operations: t1 is loaded, or loaded and checked for the store that follows.
    ops[wide ? 'hot' : 'cold'](`load.${size}`, (e) => e.setSlot(SLOT.t1, 8, e.load(e.address(), size)));
    ops[wide ? 'hot' : 'cold'](`loadForStore.${size}`, (e) => {
      e.setSlot(SLOT.t1, 8, e.loadForStore(e.address(), size));
    });
    ops[wide ? 'hot' : 'cold'](`storeBack.${size}`, (e) => {
      e.storeBack(e.address(), size, e.getSlot(SLOT.t1, size));
    });
    ops[wide ? 'hot' : 'cold'](`store.${size}`, (e) => e.store(e.address(), size, e.getSlot(SLOT.t1, size)));
    ops[size === 8 ? 'hot' : 'cold'](`xchg.${size}`, (e) => {
      const a = e.f.let(e.get('a', size));
      e.set('a', size, e.f.let(e.get('b', size)));
      e.set('b', size, a);
    });
  }
  ops.hot('mov.imm64', (e) => e.set('a', 8, e.imm64()));
  ops.hot('lea.8', (e) => e.set('a', 8, e.address()));
  ops.hot('lea.4', (e) => e.set('a', 4, zeroExtend(e.address(), 4)));
  ops.cold('lea.2', (e) => e.set('a', 2, e.address()));
  defineExtensions(ops);
  defineAddresses(ops);
}

/** MOVZX, MOVSX, MOVSXD: name.from.to. A zero extension to 8 is one to 4. */
function defineExtensions(ops: MicroOps): void {
  const pairs: readonly (readonly [Size, Size])[] = [
    [1, 2],
    [1, 4],
    [1, 8],
    [2, 4],
    [2, 8],
    [4, 8],
  ];
  for (const [from, to] of pairs) {
    const hot = to >= 4 ? 'hot' : 'cold';
    const signed = (e: Emit, v: I64) => e.set('a', to, to === 8 ? v : zeroExtend(v, to));
    ops[hot](`movsx.${from}.${to}.rr`, (e) => signed(e, e.getSigned('b', from)));
    ops[hot](`movsx.${from}.${to}.rm`, (e) => {
      const v = e.load(e.address(), from);
      signed(e, from === 1 ? v.extend8S() : from === 2 ? v.extend16S() : v.extend32S());
    });
    if (to === 8) continue;
    ops[hot](`movzx.${from}.${to}.rr`, (e) => e.set('a', to, e.get('b', from)));
    ops[hot](`movzx.${from}.${to}.rm`, (e) => e.set('a', to, e.load(e.address(), from)));
  }
}

/**
 * Addresses that base + index + displacement does not give: with a segment base, a shorter address size, or the bit
 * offset of BT. They leave the linear address in SLOT.ea for the micro-operation that follows.
 */
function defineAddresses(ops: MicroOps): void {
  // imm: segment | address size << 4 | access size << 8 | write << 16, as lower/lowering.ts packs it.
  ops.hot('ea.segment64', (e) => {
    const segment = e.imm32().and(7).mul(SEGMENT_SIZE);
    const base = e.f.load64(e.cpu.add(segment), CPU.segments + SEGMENT.base);
    e.setSlot(SLOT.ea, 8, e.address().add(base));
  });
  ops.cold('ea.mask', (e) => e.setSlot(SLOT.ea, 8, e.address().and(maskOf(e))));
  ops.cold('ea.segment64mask', (e) => {
    const segment = e.imm32().and(7).mul(SEGMENT_SIZE);
    const base = e.f.load64(e.cpu.add(segment), CPU.segments + SEGMENT.base);
    e.setSlot(SLOT.ea, 8, e.address().and(maskOf(e)).add(base));
  });
  ops.hot('ea.legacy', emitLegacyAddress);
  for (const size of [2, 4, 8] as const) {
    // BT family with a register as bit number: it reaches beyond the operand (SDM vol. 2, BT).
    ops.cold(`ea.bit.${size}`, (e) => {
      const unit = Math.log2(size * 8);
      e.setSlot(
        SLOT.ea,
        8,
        e.address().add(
          e
            .getSigned('b', size)
            .shrS(unit)
            .shl(unit - 3),
        ),
      );
    });
  }
}

/** All ones in the bytes of the address size in the immediate. */
function maskOf(e: Emit): I64 {
  const bits = e.imm32().shrU(4).and(15).shl(3);
  return I64.const(-1).shrU(I64.const(64).sub(bits.toI64()));
}

/** Segment base and limit in real, protected and compatibility mode (SDM vol. 3, 5.3). */
function emitLegacyAddress(e: Emit): void {
  const { f } = e;
  const at = f.let(e.cpu.add(e.imm32().and(7).mul(SEGMENT_SIZE)));
  const offset = f.let(e.address().and(maskOf(e)));
  const end = f.let(offset.add(e.imm32().shrU(8).and(0xff).toI64()));
  f.if(end.gtU(f.load32u64(at, CPU.segments + SEGMENT.span)), () => checkLegacyAccess(e, at, offset, end.sub(1)));
  e.setSlot(SLOT.ea, 8, offset.add(f.load64(at, CPU.segments + SEGMENT.base)).and(0xffff_ffff));
}

/** All checks of an access to bytes `offset` to `last` of the segment at `at`. */
function checkLegacyAccess(e: Emit, at: I32, offset: I64, last: I64): void {
  const { f } = e;
  const attributes = f.let(f.load32(at, CPU.segments + SEGMENT.attributes));
  const limit = f.let(f.load32u64(at, CPU.segments + SEGMENT.limit));
  const expandDown = f.let(attributes.and(0x1c).eq(0x14)); // data segment with E set
  const bad = f.variable(attributes.and(0x80).eqz()); // not present: a null or unusable segment
  f.if(
    expandDown,
    () => {
      const top = f.let(attributes.shrU(14).and(1).toI64().mul(0xffff_0000).or(0xffff));
      f.set(bad, bad.or(offset.leU(limit)).or(last.gtU(top)));
    },
    () => f.set(bad, bad.or(last.gtU(limit))),
  );
  // Writes need a writable data segment, reads anything but an execute-only code segment. In real mode, where only CS is
  // a code segment, all can be written.
  const isCode = attributes.and(8).ne(0);
  const readableOrWritable = attributes.and(2).ne(0);
  const writes = e.imm32().shrU(16).and(1);
  const isProtected = f.load64(e.cpu, CPU.cr0).wrap().and(1);
  f.set(
    bad,
    bad
      .or(writes.and(isProtected).and(isCode.or(readableOrWritable.eqz())))
      .or(writes.eqz().and(isCode).and(readableOrWritable.eqz())),
  );
  f.if(bad, () =>
    f.if(
      e.imm32().and(7).eq(2),
      () => e.raise(VECTOR.ss),
      () => e.raise(VECTOR.gp),
    ),
  );
}
