/**
 * Locked read-modify-write accesses that generated code could not do itself: where the TLB has no entry for writing, on
 * pages with decoded code, in MMIO, and of operands that are not naturally aligned.
 *
 * An aligned operand in RAM is changed atomically in all cases, and so is one within 8 aligned bytes. For the others all
 * vCPUs take one lock: they are atomic to each other, but another vCPU's plain or aligned access can come in between.
 * (Processors lock the bus for them, or raise #AC: Intel SDM vol. 3, 9.1.2.)
 */
import { SPLIT_LOCK } from '../layout.ts';
import type { Size } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import {
  atomicCompareExchange,
  atomicCompareExchange32,
  atomicLoad,
  atomicNotify,
  atomicRmw32,
  atomicWait32,
} from '../wasm/atomics.ts';
import { I32, I64, select } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { loadSized, storeSized } from './sized.ts';

/** What a locked access makes of the old value and its operand. */
export const LOCKED = {
  add: 0,
  sub: 1,
  and: 2,
  or: 3,
  xor: 4,
  exchange: 5,
  /** 0 - the old value. */
  negate: 6,
  /** The operand, if the old value is what was expected. */
  compareExchange: 7,
} as const;
export type LockedKind = keyof typeof LOCKED;

export interface LockedParts {
  /** (cpu, va: i64) -> WebAssembly address for a write; 0: no RAM; -1: fault. CPU.scratch is the gpa. */
  readonly fillForWrite: (f: FunctionBuilder, cpu: I32, va: I64) => I32;
  readonly probeWrite: Callable;
  readonly load: Callable;
  readonly store: Callable;
  readonly mmioRead: Callable;
  readonly mmioWrite: Callable;
  /** `size` bytes at CPU.scratch were stored. */
  readonly noteCodeWrite: (f: FunctionBuilder, cpu: I32, size: I32) => void;
}

/** (kind, old, operand, expected) -> the new value; bits above the operand's size are anything. */
export function defineLockedResult(m: ModuleBuilder): Callable {
  return m.func(['i32', 'i64', 'i64', 'i64'], ['i64'], (f, kind, old, operand, expected) => {
    const results: Readonly<Record<LockedKind, I64>> = {
      add: old.add(operand),
      sub: old.sub(operand),
      and: old.and(operand),
      or: old.or(operand),
      xor: old.xor(operand),
      exchange: operand,
      negate: I64.const(0).sub(old),
      compareExchange: select(old.eq(expected), operand, old),
    };
    const cases = (Object.keys(LOCKED) as LockedKind[]).map((name) => () => f.return(results[name]));
    f.switch(kind, cases, () => f.unreachable());
    f.unreachable();
  });
}

interface Request {
  readonly cpu: I32;
  readonly va: Local<'i64'>;
  /** The new value for an old one. */
  readonly result: (old: I64) => I64;
}

/** (cpu, va: i64, kind, operand: i64, expected: i64) -> the old value, zero-extended; with CPU.fault set if it failed. */
export function defineLocked(m: ModuleBuilder, size: Size, resultOf: Callable, parts: LockedParts): Callable {
  return m.func(
    ['i32', 'i64', 'i32', 'i64', 'i64'],
    ['i64'],
    (f, cpu, va, kind, operand, expected) => {
      const result = (old: I64) => f.call(resultOf, 'i64', kind, old, operand, expected);
      const request = { cpu, va, result };
      const misaligned = va.wrap().and(size - 1);
      if (size === 2 || size === 4) {
        f.if(misaligned, () =>
          f.if(
            va
              .wrap()
              .and(7)
              .leU(8 - size),
            () => emitWithin8(f, size, request, parts),
            () => emitSplit(f, size, request, parts),
          ),
        );
      } else if (size === 8) {
        f.if(misaligned, () => emitSplit(f, size, request, parts));
      }
      const host = f.let(parts.fillForWrite(f, cpu, va));
      f.if(host.eq(-1), () => f.return(I64.const(0)));
      f.if(host.eqz(), () => emitMmio(f, size, request, parts));
      const old = f.local('i64');
      f.loop((again) => {
        f.set(old, atomicLoad(f, host, size));
        const value = f.let(result(old));
        f.brIf(again, atomicCompareExchange(f, host, size, old, value).ne(old));
      });
      parts.noteCodeWrite(f, cpu, I32.const(size));
      f.return(old);
    },
    `locked${size}`,
  );
}

/** Of a device: as two accesses. */
function emitMmio(f: FunctionBuilder, size: Size, { cpu, result }: Request, parts: LockedParts): void {
  const gpa = f.let(f.load64(cpu, CPU.scratch));
  f.run(parts.mmioRead, cpu, I32.const(size));
  const old = f.variable(loadSized(f, cpu, size, CPU.io));
  f.store64(cpu, CPU.scratch, gpa);
  f.store64(cpu, CPU.io, result(old));
  f.run(parts.mmioWrite, cpu, I32.const(size));
  f.return(old);
}

/** Not aligned, but within 8 bytes that are: the operand is a part of an atomic access to these. */
function emitWithin8(f: FunctionBuilder, size: 2 | 4, { cpu, va, result }: Request, parts: LockedParts): void {
  const host = f.let(parts.fillForWrite(f, cpu, va));
  f.if(host.eq(-1), () => f.return(I64.const(0)));
  f.if(host.eqz(), () => emitUnlocked(f, { cpu, va, result }, parts));
  const whole = f.let(host.and(-8));
  const shift = f.let(va.and(7).shl(3));
  const mask = I64.const((1n << BigInt(8 * size)) - 1n);
  const old = f.local('i64');
  f.loop((again) => {
    const before = atomicLoad(f, whole, 8);
    f.set(old, before.shrU(shift).and(mask));
    const value = result(old).and(mask).shl(shift);
    const after = f.let(before.and(mask.shl(shift).xor(-1)).or(value));
    f.brIf(again, atomicCompareExchange(f, whole, 8, before, after).ne(before));
  });
  parts.noteCodeWrite(f, cpu, I32.const(size));
  f.return(old);
}

/** Across 8 aligned bytes, maybe across pages: under the lock, with nothing in between that could fault. */
function emitSplit(f: FunctionBuilder, size: 2 | 4 | 8, { cpu, va, result }: Request, parts: LockedParts): void {
  f.run(parts.probeWrite, cpu, va, I32.const(size));
  f.if(f.load32(cpu, CPU.fault), () => f.return(I64.const(0)));
  const first = f.let(parts.fillForWrite(f, cpu, va));
  const firstGpa = f.let(f.load64(cpu, CPU.scratch));
  const secondVa = f.let(va.add(size - 1).and(-4096));
  const crosses = f.let(secondVa.ne(va.and(-4096)));
  const second = f.variable(first);
  f.if(crosses, () => f.set(second, parts.fillForWrite(f, cpu, secondVa)));
  const secondGpa = f.let(f.load64(cpu, CPU.scratch));
  f.if(f.load32(cpu, CPU.fault), () => f.return(I64.const(0)));
  f.if(first.eqz().or(second.eqz()), () => emitUnlocked(f, { cpu, va, result }, parts));
  const inFirst = f.let(select(crosses, secondVa.sub(va).wrap(), I32.const(size)));
  const byteAt = (i: I32) => select(i.ltU(inFirst), first.add(i), second.add(i.sub(inFirst)));
  const old = f.variable(I64.const(0));
  acquire(f);
  f.if(
    crosses,
    () => forEachByte(f, size, (i) => f.set(old, old.or(f.load8u64(byteAt(i)).shl(i.shl(3).toI64())))),
    () => f.set(old, loadSized(f, first, size)),
  );
  const value = f.let(result(old));
  f.if(
    crosses,
    () => forEachByte(f, size, (i) => f.store8of64(byteAt(i), 0, value.shrU(i.shl(3).toI64()))),
    () => storeSized(f, first, size, value),
  );
  release(f);
  f.store64(cpu, CPU.scratch, firstGpa);
  parts.noteCodeWrite(f, cpu, inFirst);
  f.if(crosses, () => {
    f.store64(cpu, CPU.scratch, secondGpa);
    parts.noteCodeWrite(f, cpu, I32.const(size).sub(inFirst));
  });
  f.return(old);
}

/** At least a part is a device's. */
function emitUnlocked(f: FunctionBuilder, { cpu, va, result }: Request, parts: LockedParts): void {
  const old = f.let(f.call(parts.load, 'i64', cpu, va));
  f.if(f.load32(cpu, CPU.fault), () => f.return(I64.const(0)));
  f.run(parts.store, cpu, va, result(old));
  f.return(old);
}

function forEachByte(f: FunctionBuilder, size: Size, body: (i: I32) => void): void {
  const i = f.variable(I32.const(0));
  f.loop((again) => {
    body(i);
    f.set(i, i.add(1));
    f.brIf(again, i.ltU(size));
  });
}

/** The lock's word is used as memory/lock.ts does. */
const LOCK_WORD = I32.const(SPLIT_LOCK);

function acquire(f: FunctionBuilder): void {
  f.if(atomicCompareExchange32(f, LOCK_WORD, 0, 1), () =>
    f.loop((again) => {
      f.if(atomicRmw32(f, 'exchange', LOCK_WORD, 0, 2), () => {
        atomicWait32(f, LOCK_WORD, 2);
        f.br(again);
      });
    }),
  );
}

function release(f: FunctionBuilder): void {
  f.if(atomicRmw32(f, 'exchange', LOCK_WORD, 0, 0).eq(2), () => atomicNotify(f, LOCK_WORD, 1));
}
