/**
 * MOVS, STOS, LODS, CMPS, SCAS and their repeated forms.
 *
 * Fields: base is the slot with the source segment's base, index the one with the destination's (the zero slot in
 * 64-bit mode for all but FS and GS), imm the address size in bytes. A repeated instruction that meets a fault has its
 * registers as of the iteration that faulted, so it goes on from there; the bulk forms stop at page ends.
 */

import { FLAG } from '../architecture.ts';
import { CPU, SLOT } from '../state.ts';
import { I64, select } from '../wasm/expr.ts';
import { BINARY } from './arithmetic.ts';
import { type Emit, type MicroOps, SIZES } from './emit.ts';
import type { Size } from './flags.ts';

interface Pointers {
  /** Bits that the address size gives. */
  readonly mask: I64;
  /** Linear addresses now. */
  source(): I64;
  destination(): I64;
  /** +size or -size, by DF. */
  readonly step: I64;
  /** Adds `by` bytes to a pointer register. */
  advance(register: number, by: I64): void;
}

function pointers(e: Emit, size: Size): Pointers {
  const { f } = e;
  const addressBits = e.imm().shl(3);
  const mask = f.let(I64.const(-1).shrU(I64.const(64).sub(addressBits)));
  // 16-bit addressing leaves the rest of the register, 32-bit clears it.
  const kept = f.let(select(e.imm32().eq(2), I64.const(-0x1_0000), I64.const(0)));
  const down = f.load32(e.cpu, CPU.eflags).and(FLAG.df);
  const step = f.let(select(down, I64.const(-size), I64.const(size)));
  const at = (register: number, segment: I64) => e.getSlot(register, 8).and(mask).add(segment);
  const sourceBase = f.let(e.baseSlot());
  const destinationBase = f.let(e.indexSlot());
  return {
    mask,
    step,
    source: () => at(SLOT.rsi, sourceBase),
    destination: () => at(SLOT.rdi, destinationBase),
    advance: (register, by) => {
      const old = e.getSlot(register, 8);
      e.setSlot(register, 8, old.and(kept).or(old.add(by).and(mask)));
    },
  };
}

/** One element. CMPS and SCAS set the flags. */
const ELEMENT: Readonly<Record<string, (e: Emit, p: Pointers, size: Size) => void>> = {
  movs: (e, p, size) => {
    const value = e.load(p.source(), size);
    e.store(p.destination(), size, value);
    p.advance(SLOT.rsi, p.step);
    p.advance(SLOT.rdi, p.step);
  },
  stos: (e, p, size) => {
    e.store(p.destination(), size, e.getSlot(SLOT.rax, size));
    p.advance(SLOT.rdi, p.step);
  },
  lods: (e, p, size) => {
    const value = e.load(p.source(), size);
    e.setSlot(SLOT.rax, size, value);
    p.advance(SLOT.rsi, p.step);
  },
  cmps: (e, p, size) => {
    const a = e.load(p.source(), size);
    const b = e.load(p.destination(), size);
    BINARY['cmp']!(e, a, b, size);
    p.advance(SLOT.rsi, p.step);
    p.advance(SLOT.rdi, p.step);
  },
  scas: (e, p, size) => {
    const b = e.load(p.destination(), size);
    BINARY['cmp']!(e, e.f.let(e.getSlot(SLOT.rax, size)), b, size);
    p.advance(SLOT.rdi, p.step);
  },
};

/**
 * Interrupts are looked at wherever the count is a multiple of this: at places that depend on nothing but the count, so
 * that two runs of a guest look at the same ones.
 */
const BATCH = 16384;

export function defineStrings(ops: MicroOps): void {
  for (const [name, element] of Object.entries(ELEMENT)) {
    for (const size of SIZES) {
      ops.cold(`${name}.${size}`, (e) => element(e, pointers(e, size), size));
      const conditions = name === 'cmps' || name === 'scas' ? (['e', 'ne'] as const) : ([undefined] as const);
      for (const condition of conditions) {
        const suffix = condition === undefined ? '' : `.${condition}`;
        ops.cold(`${name}.${size}.rep${suffix}`, (e) => repeat(e, size, name, element, condition));
      }
    }
  }
}

function repeat(
  e: Emit,
  size: Size,
  name: string,
  element: (e: Emit, p: Pointers, size: Size) => void,
  condition: 'e' | 'ne' | undefined,
): void {
  const { f } = e;
  const p = pointers(e, size);
  const count = () => e.getSlot(SLOT.rcx, 8).and(p.mask);
  f.block((done) => {
    f.brIf(done, count().eqz());
    const left = f.variable(
      count()
        .sub(1)
        .and(BATCH - 1)
        .add(1),
    );
    f.loop((again) => {
      f.block((single) => {
        if (name !== 'movs' && name !== 'stos') f.br(single);
        const chunk = f.let(
          name === 'stos' ? bulkFill(e, p, size, left) : name === 'movs' ? bulkCopy(e, p, size, left) : I64.const(0),
        );
        f.brIf(single, chunk.eqz());
        p.advance(SLOT.rcx, I64.const(0).sub(chunk));
        const bytes = f.let(chunk.mul(size));
        if (name === 'movs') p.advance(SLOT.rsi, bytes);
        p.advance(SLOT.rdi, bytes);
        f.brIf(done, count().eqz());
        f.set(left, left.sub(chunk));
        f.brIf(again, left.gtS(0));
        e.repeatLater();
      });
      element(e, p, size);
      p.advance(SLOT.rcx, I64.const(-1));
      f.brIf(done, count().eqz());
      if (condition !== undefined) f.brIf(done, condition === 'e' ? e.flags.zf().eqz() : e.flags.zf());
      f.set(left, left.sub(1));
      f.brIf(again, left.gtS(0));
      e.repeatLater();
    });
  });
}

/** Elements that can be done at once within the pages of the pointers: at least two, upwards only; else 0. */
function elementsToPageEnd(linear: I64, size: Size): I64 {
  return I64.const(4096).sub(linear.and(4095)).shrU(Math.log2(size));
}

function minimum(f: Emit['f'], a: I64, b: I64): I64 {
  const x = f.let(a);
  const y = f.let(b);
  return f.let(select(x.ltU(y), x, y));
}

/** Fills at most `most` elements, up to a page end; gives their number. The page must be writable by the fast path. */
function bulkFill(e: Emit, p: Pointers, size: Size, most: I64): I64 {
  const { f } = e;
  const result = f.local('i64');
  f.set(result, I64.const(0));
  f.if(p.step.gtS(0), () => {
    const to = f.let(p.destination());
    const host = f.let(e.hostForWrite(to));
    f.if(host, () => {
      const n = minimum(f, most, elementsToPageEnd(to, size));
      f.set(result, n);
      const value = f.let(e.getSlot(SLOT.rax, size));
      const pattern = repeated(value, size);
      const bytes = f.let(n.shl(Math.log2(size)).wrap());
      f.if(
        pattern.eq(value.and(0xff).mul(I64.const(0x0101_0101_0101_0101n))),
        () => f.memoryFill(host, value.wrap(), bytes),
        () => {
          const at = f.variable(host);
          const end = f.let(host.add(bytes));
          f.if(bytes, () =>
            f.loop((again) => {
              if (size === 8) f.store64(at, 0, value);
              else if (size === 4) f.store32of64(at, 0, value);
              else if (size === 2) f.store16of64(at, 0, value);
              else f.store8of64(at, 0, value);
              f.set(at, at.add(size));
              f.brIf(again, at.ltU(end));
            }),
          );
        },
      );
    });
  });
  return result;
}

function repeated(value: I64, size: Size): I64 {
  if (size === 1) return value.mul(I64.const(0x0101_0101_0101_0101n));
  if (size === 2) return value.mul(I64.const(0x0001_0001_0001_0001n));
  return size === 4 ? value.mul(I64.const(0x0000_0001_0000_0001n)) : value;
}

/** Copies as bulkFill fills; 0 if the ranges overlap the way that makes MOVS repeat a pattern. */
function bulkCopy(e: Emit, p: Pointers, size: Size, most: I64): I64 {
  const { f } = e;
  const result = f.local('i64');
  f.set(result, I64.const(0));
  f.if(p.step.gtS(0), () => {
    const from = f.let(p.source());
    const to = f.let(p.destination());
    const hostFrom = f.let(e.hostForRead(from));
    const hostTo = f.let(e.hostForWrite(to));
    f.if(hostFrom.ne(0).and(hostTo.ne(0)), () => {
      const n = minimum(f, minimum(f, most, elementsToPageEnd(to, size)), elementsToPageEnd(from, size));
      const bytes = f.let(n.shl(Math.log2(size)).wrap());
      f.if(hostTo.sub(hostFrom).geU(bytes), () => {
        f.memoryCopy(hostTo, hostFrom, bytes);
        f.set(result, n);
      });
    });
  });
  return result;
}
