/** Vector memory operands: loads to and stores from the vector temporary, zero-extended to 16 bytes. */

import { VECTOR } from '../architecture.ts';
import { CPU, SLOT, XMM_TEMP } from '../state.ts';
import { I32, type I64, V128 } from '../wasm/expr.ts';
import type { Emit, MicroOps } from './emit.ts';
import type { Size } from './flags.ts';

export function defineVectorMemory(ops: MicroOps): void {
  for (const size of [4, 8] as const) {
    ops.hot(`loadv.${size}`, (e) => e.setVectorRegister(XMM_TEMP, e.loadLow(e.address(), size)));
    ops.hot(`storev.${size}`, (e) => e.storeLow(e.address(), size, e.vectorRegister(XMM_TEMP)));
  }
  for (const size of [1, 2] as const) {
    ops.cold(`loadv.${size}`, (e) => {
      const low = e.load(e.address(), size);
      e.setVectorRegister(XMM_TEMP, V128.splatI64(0).replaceI64(0, low));
    });
    ops.cold(`storev.${size}`, (e) => {
      e.store(e.address(), size, e.vectorRegister(XMM_TEMP).extractI64(0));
    });
  }
  for (const [name, aligned] of [
    ['16', true],
    ['16u', false],
  ] as const) {
    ops.hot(`loadv.${name}`, (e) => {
      const at = e.f.let(e.address());
      if (aligned) checkAlignment(e, at);
      e.setVectorRegister(XMM_TEMP, e.load128(at));
    });
    ops.hot(`storev.${name}`, (e) => {
      const at = e.f.let(e.address());
      if (aligned) checkAlignment(e, at);
      e.store128(at, e.vectorRegister(XMM_TEMP));
    });
  }
  // The first MMX instruction makes all x87 registers valid and TOP 0 (SDM vol. 1, 9.5.1).
  ops.cold('mmx.enter', (e) => {
    const { f, cpu } = e;
    checkPending(e);
    f.store16(cpu, CPU.x87Status, f.load16u(cpu, CPU.x87Status).and(0xc7ff));
    f.store16(cpu, CPU.x87Tag, 0xff);
  });
  // Before a memory operand is accessed, whose faults come behind a pending x87 exception and before the change.
  ops.cold('mmx.check', checkPending);
  for (const size of [8, 16] as const) ops.cold(`maskmove.${size}`, (e) => maskMove(e, size));
}

/** #MF if an x87 exception is pending. */
function checkPending(e: Emit): void {
  e.f.if(e.f.load16u(e.cpu, CPU.x87Status).and(0x80), () => e.raise(VECTOR.mf));
}

function checkAlignment(e: Emit, at: I64): void {
  e.f.if(at.wrap().and(15), () => e.raise(VECTOR.gp));
}

/** Stores the bytes of operand a whose bit in t3 is set. */
function maskMove(e: Emit, size: Size | 16): void {
  const { f } = e;
  const at = f.let(e.address());
  const mask = f.let(e.getSlot(SLOT.t3, 8).wrap());
  const from = f.let(e.vectorAddress('a'));
  // No byte may be stored if a later one faults.
  const i = f.variable(I32.const(0));
  const selected = () => mask.shrU(i).and(1);
  f.loop((again) => {
    f.if(selected(), () => e.probeWrite(at.add(i.toI64()), 1));
    f.set(i, i.add(1));
    f.brIf(again, i.ltU(size));
  });
  f.set(i, I32.const(0));
  f.loop((again) => {
    f.if(selected(), () => e.store(at.add(i.toI64()), 1, f.load8u64(from.add(i))));
    f.set(i, i.add(1));
    f.brIf(again, i.ltU(size));
  });
}
