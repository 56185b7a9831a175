/** Shifts, rotates and double shifts (Intel SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). */

import { SLOT } from '../state.ts';
import { I64 } from '../wasm/expr.ts';
import { wrap32 } from '../wasm/narrow.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import { type Size, signExtend, topBit, zeroExtend } from './flags.ts';

/** `count` is masked and not zero. Values are zero-extended locals. */
type Shift = (e: Emit, a: I64, count: I64, size: Size) => I64;

const shl: Shift = (e, a, count, size) => {
  const r = e.f.let(zeroExtend(a.shl(count), size));
  e.flags.shl(a, count, r, size);
  return r;
};

const shr: Shift = (e, a, count, size) => {
  const r = e.f.let(a.shrU(count));
  e.flags.shr(a, count, r, size);
  return r;
};

const sar: Shift = (e, a, count, size) => {
  const r = e.f.let(zeroExtend(signExtend(a, size).shrS(count), size));
  e.flags.sar(a, count, r, size);
  return r;
};

/** A rotation by less than the width, or by all of it. */
function rotatedLeft(a: I64, n: I64, size: Size): I64 {
  if (size === 8) return a.rotl(n);
  if (size === 4) return wrap32(a).rotl(wrap32(n)).toI64();
  return zeroExtend(a.shl(n).or(a.shrU(I64.const(size * 8).sub(n))), size);
}

/** Rotates change CF and OF only. */
const rol: Shift = (e, a, count, size) => {
  const bits = size * 8;
  const n = e.f.let(count.and(bits - 1));
  const r = e.f.let(rotatedLeft(a, n, size));
  e.flags.carry(r.and(1), topBit(r, size).xor(r.and(1)));
  return r;
};

const ror: Shift = (e, a, count, size) => {
  const bits = size * 8;
  const n = e.f.let(count.and(bits - 1));
  const r = e.f.let(rotatedLeft(a, I64.const(bits).sub(n), size));
  e.flags.carry(topBit(r, size), topBit(r, size).xor(r.shrU(bits - 2).and(1)));
  return r;
};

/** Rotation through carry by `count` modulo width + 1; a count that comes out as 0 changes nothing. */
const rcl: Shift = (e, a, count, size) => rotateThroughCarry(e, a, count, size, 'left');
const rcr: Shift = (e, a, count, size) => rotateThroughCarry(e, a, count, size, 'right');

function rotateThroughCarry(e: Emit, a: I64, count: I64, size: Size, direction: 'left' | 'right'): I64 {
  const { f } = e;
  const bits = size * 8;
  const r = f.variable(a);
  const cf = f.variable(e.flags.cf64());
  const n = f.variable(size >= 4 ? count : count.remU(bits + 1));
  f.if(n.ne(0), () => {
    const out = f.variable(I64.const(0));
    f.loop((again) => {
      if (direction === 'left') {
        f.set(out, topBit(r, size));
        f.set(r, zeroExtend(r.shl(1).or(cf), size));
      } else {
        f.set(out, r.and(1));
        f.set(r, r.shrU(1).or(cf.shl(bits - 1)));
      }
      f.set(cf, out);
      f.set(n, n.sub(1));
      f.brIf(again, n.ne(0));
    });
    e.flags.carry(cf, direction === 'left' ? topBit(r, size).xor(cf) : topBit(r, size).xor(r.shrU(bits - 2).and(1)));
  });
  return r;
}

const SHIFTS: Readonly<Record<string, Shift>> = { shl, shr, sar, rol, ror, rcl, rcr };

/** SHLD and SHRD: the second operand fills what the first leaves. 16-bit counts beyond 16 are undefined. */
function doubleShift(e: Emit, count: I64, size: Size, left: boolean): I64 {
  const { f } = e;
  const bits = size * 8;
  const a = f.let(e.get('a', size));
  const b = f.let(e.get('b', size));
  const rest = I64.const(bits).sub(count);
  const fill = left ? shiftedIn(b, rest, size, true) : shiftedIn(b, rest, size, false);
  const r = f.let(zeroExtend(left ? a.shl(count).or(fill) : a.shrU(count).or(fill), size));
  const cf = f.let(left ? a.shrU(rest).and(1) : a.shrU(count.sub(1)).and(1));
  e.flags.shifted(r, size, cf, topBit(r, size).xor(topBit(a, size)));
  return r;
}

/** With 16 bits a count of 16 to 31 makes `rest` zero or negative: the shift amount is then taken modulo 32. */
function shiftedIn(b: I64, rest: I64, size: Size, left: boolean): I64 {
  const amount = size === 2 ? rest.and(31) : rest;
  return left ? b.shrU(amount) : b.shl(amount);
}

/** Runs `body` with the count in CL, masked to the operand's size, unless that is 0: then nothing changes. */
function byCl(e: Emit, size: Size, body: (count: I64) => void, unchanged: () => void): void {
  const count = e.f.let(e.getSlot(SLOT.rcx, 1).and(size === 8 ? 63 : 31));
  e.f.if(count.ne(0), () => body(count), unchanged);
}

export function defineShifts(ops: MicroOps): void {
  for (const [name, shift] of Object.entries(SHIFTS)) {
    for (const size of SIZES) {
      const hot = size >= 4 && name !== 'rcl' && name !== 'rcr';
      // The immediate is the masked count, never 0: lowering makes nothing of those.
      ops[hot ? 'hot' : 'cold'](`${name}.${size}.ri`, (e) =>
        e.set('a', size, shift(e, e.f.let(e.get('a', size)), e.f.let(e.imm()), size)),
      );
      ops[hot && name.startsWith('s') ? 'hot' : 'cold'](`${name}.${size}.rc`, (e) => {
        const a = e.f.let(e.get('a', size));
        byCl(
          e,
          size,
          (count) => e.set('a', size, shift(e, a, count, size)),
          () => e.set('a', size, a), // a 32-bit operand is zero-extended all the same
        );
      });
    }
  }
  for (const size of [2, 4, 8] as const) {
    for (const left of [true, false]) {
      const name = left ? 'shld' : 'shrd';
      ops.cold(`${name}.${size}.ri`, (e) => e.set('a', size, doubleShift(e, e.f.let(e.imm()), size, left)));
      ops.cold(`${name}.${size}.rc`, (e) =>
        byCl(
          e,
          size,
          (count) => e.set('a', size, doubleShift(e, count, size, left)),
          () => e.set('a', size, e.f.let(e.get('a', size))),
        ),
      );
    }
  }
}
