/** Near jumps, calls, returns and loops. The record knows the direct target. */

import { CS, VECTOR } from '../architecture.ts';
import { CPU, SEGMENT, SLOT } from '../state.ts';
import { I64 } from '../wasm/expr.ts';
import type { Emit, MicroOps } from './emit.ts';
import type { Size } from './flags.ts';
import { isNotCanonical, segmentAt } from './long-mode.ts';
import { stack64, stackFlat, stackLegacy } from './stack.ts';

/** A near return address or target outside the canonical half or the code segment is a fault of the branch itself. */
function checkCanonical(e: Emit, target: I64): void {
  e.f.if(isNotCanonical(target), () => e.raise(VECTOR.gp));
}

/** Linear address of offset `ip` of CS, for a branch with operand size `size` (2 or 4). */
function legacyTarget(e: Emit, ip: I64, size: Size): I64 {
  const offset = e.f.let(ip.and(size === 2 ? 0xffff : 0xffff_ffff));
  const limit = codeLimit(e);
  e.f.if(offset.gtU(limit), () => e.raise(VECTOR.gp));
  return e.f.let(offset.add(e.f.load64(e.cpu, CPU.csBase)).and(0xffff_ffff));
}

function codeLimit(e: Emit): I64 {
  return e.f.load32u64(e.cpu, segmentAt(CS) + SEGMENT.limit);
}

/** Offset in CS of the next instruction. */
function legacyNext(e: Emit): I64 {
  return e.returnAddress().sub(e.f.load64(e.cpu, CPU.csBase)).and(0xffff_ffff);
}

export function defineBranches(ops: MicroOps): void {
  ops.hot('jmp', (e) => e.jump());
  for (let cc = 0; cc < 16; cc++) ops.hot(`jcc.${cc}`, (e) => e.f.if(e.flags.condition(cc), () => e.jump()));
  ops.hot('call', (e) => {
    stack64.push(e, e.returnAddress(), 8);
    e.noteCall();
    e.jump();
  });
  ops.hot('ret', (e) => returnTo(e, I64.const(0)));
  ops.cold('ret.imm', (e) => returnTo(e, e.imm().and(0xffff)));
  // In flat code no branch can be wrong.
  ops.hot('call.flat', (e) => {
    stackFlat.push(e, e.returnAddress(), 4);
    e.noteCall();
    e.jump();
  });
  ops.hot('ret.flat', (e) => e.returnTo(stackFlat.pop(e, 4)));
  ops.cold('ret.flat.imm', (e) => e.returnTo(stackFlat.pop(e, 4, e.imm().and(0xffff))));
  // Indirect targets are in t1.
  ops.hot('jmp.t1.flat', (e) => e.jumpTo(e.f.let(e.getSlot(SLOT.t1, 4))));
  ops.hot('call.t1.flat', (e) => {
    const target = e.f.let(e.getSlot(SLOT.t1, 4));
    stackFlat.push(e, e.returnAddress(), 4);
    e.noteCall();
    e.jumpTo(target);
  });
  ops.hot('jmp.t1', (e) => {
    const target = e.f.let(e.getSlot(SLOT.t1, 8));
    checkCanonical(e, target);
    e.jumpTo(target);
  });
  ops.hot('call.t1', (e) => {
    const target = e.f.let(e.getSlot(SLOT.t1, 8));
    checkCanonical(e, target);
    stack64.push(e, e.returnAddress(), 8);
    e.noteCall();
    e.jumpTo(target);
  });
  for (const size of [2, 4, 8] as const) {
    // The count register has the address size.
    const counted = (e: Emit, condition?: 'e' | 'ne') => {
      const count = e.f.let(e.getSlot(SLOT.rcx, size).sub(1));
      e.setSlot(SLOT.rcx, size, count);
      const again = size === 8 ? count.ne(0) : count.shl(64 - size * 8).ne(0);
      const zf = e.flags.zf();
      e.f.if(condition === undefined ? again : again.and(condition === 'e' ? zf : zf.eqz()), () => e.jump());
    };
    ops.cold(`loop.${size}`, (e) => counted(e));
    ops.cold(`loope.${size}`, (e) => counted(e, 'e'));
    ops.cold(`loopne.${size}`, (e) => counted(e, 'ne'));
    ops.cold(`jcxz.${size}`, (e) => e.f.if(e.getSlot(SLOT.rcx, size).eqz(), () => e.jump()));
  }
  for (const size of [2, 4] as const) {
    // Direct legacy branches leave the target's offset from this code page in the immediate, like the others.
    const target = (e: Emit) =>
      legacyTarget(e, e.getSlot(SLOT.page, 8).add(e.imm()).sub(e.f.load64(e.cpu, CPU.csBase)), size);
    ops.cold(`jmp.legacy.${size}`, (e) => e.jumpTo(target(e)));
    ops.cold(`call.legacy.${size}`, (e) => {
      const to = target(e);
      stackLegacy.push(e, e.f.let(legacyNext(e)), size);
      e.noteCall();
      e.jumpTo(to);
    });
    ops.cold(`ret.legacy.${size}`, (e) => {
      const sp = e.f.let(e.getSlot(SLOT.rsp, 8));
      const ip = stackLegacy.pop(e, size, e.imm().and(0xffff));
      const limit = codeLimit(e);
      e.f.if(ip.gtU(limit), () => {
        e.setSlot(SLOT.rsp, 8, sp);
        e.raise(VECTOR.gp);
      });
      e.returnTo(legacyTarget(e, ip, size));
    });
    ops.cold(`jmp.t1.legacy.${size}`, (e) => e.jumpTo(legacyTarget(e, e.getSlot(SLOT.t1, 8), size)));
    ops.cold(`call.t1.legacy.${size}`, (e) => {
      const to = legacyTarget(e, e.getSlot(SLOT.t1, 8), size);
      stackLegacy.push(e, e.f.let(legacyNext(e)), size);
      e.noteCall();
      e.jumpTo(to);
    });
  }
}

function returnTo(e: Emit, extra: I64): void {
  const sp = e.f.let(e.getSlot(SLOT.rsp, 8));
  const target = stack64.pop(e, 8, extra);
  e.f.if(isNotCanonical(target), () => {
    e.setSlot(SLOT.rsp, 8, sp);
    e.raise(VECTOR.gp);
  });
  e.returnTo(target);
}
