/**
 * Control, model-specific and segment registers, INVLPG and RDTSCP in 64-bit mode, as far as kernels use them all the time.
 * What is rare is left to system/, before anything has changed.
 */
import { CR4, EFER, FLAG, FS, GS, SS, VECTOR } from '../architecture.ts';
import { CPU, SEGMENT, SLOT } from '../state.ts';
import { I32, type I64, select } from '../wasm/expr.ts';
import type { Emit, MicroOps } from './emit.ts';
import { DATA_DESCRIPTOR, gdtEntry, isFlat, isInGdt, isNotCanonical, segmentAt, setNullSegment } from './long-mode.ts';
import { leaveIf, requireSupervisor } from './system-calls.ts';

/** Physical addresses have 46 bits. */
const CR3_RESERVED_SHIFT = 46;
/** FS_BASE, GS_BASE and KERNEL_GS_BASE have the MSR numbers from here on. */
const FIRST_BASE = 0xc000_0100 | 0;
const BASES = 3;

/** Offset in the vCPU's block of what MSR FIRST_BASE + n is. */
function baseField(e: Emit, n: I32): I32 {
  const [fs, gs] = [segmentAt(FS) + SEGMENT.base, segmentAt(GS) + SEGMENT.base];
  const offset = n.mul(gs - fs).add(fs);
  return e.cpu.add(select(n.eq(2), I32.const(CPU.kernelGsBase), offset));
}

function rdmsr(e: Emit): void {
  const { f, cpu } = e;
  const n = f.let(e.getSlot(SLOT.rcx, 4).wrap().sub(FIRST_BASE));
  f.if(f.load32(cpu, CPU.cpl).or(n.geU(BASES)), () => e.callout());
  const value = f.let(f.load64(baseField(e, n)));
  e.setSlot(SLOT.rax, 4, value);
  e.setSlot(SLOT.rdx, 4, value.shrU(32));
}

function wrmsr(e: Emit): void {
  const { f, cpu } = e;
  const n = f.let(e.getSlot(SLOT.rcx, 4).wrap().sub(FIRST_BASE));
  const value = f.let(e.getSlot(SLOT.rax, 4).or(e.getSlot(SLOT.rdx, 4).shl(32)));
  leaveIf(e, f.load32(cpu, CPU.cpl).or(n.geU(BASES)).or(isNotCanonical(value)));
  f.store64(baseField(e, n), 0, value);
  e.jumpTo(e.returnAddress());
}

function movToCr3(e: Emit): void {
  const { f, cpu } = e;
  requireSupervisor(e);
  const value = f.let(e.getSlot(SLOT.t1, 8));
  const isLong = f.load64(cpu, CPU.efer).wrap().and(EFER.lma);
  leaveIf(e, isLong.eqz().or(value.shrU(CR3_RESERVED_SHIFT).ne(0)));
  leaveIf(e, e.host.flushNonGlobal().eqz());
  f.store64(cpu, CPU.cr3, value);
  e.jumpTo(e.returnAddress());
}

function invlpg(e: Emit): void {
  requireSupervisor(e);
  leaveIf(e, e.host.invalidatePage(e.getSlot(SLOT.ea, 8)).eqz());
  e.jumpTo(e.returnAddress());
}

function rdtscp(e: Emit): void {
  const { f, cpu } = e;
  const forbidden = f.load64(cpu, CPU.cr4).wrap().and(CR4.tsd).and(f.load32(cpu, CPU.cpl).ne(0).shl(2));
  f.if(forbidden, () => e.raise(VECTOR.gp));
  const tsc = f.let(e.host.timeStamp());
  e.setSlot(SLOT.rax, 4, tsc);
  e.setSlot(SLOT.rdx, 4, tsc.shrU(32));
  e.setSlot(SLOT.rcx, 4, f.load64(cpu, CPU.tscAux));
}

/** The address is the record's. Without a LOCK prefix, or on a lone vCPU. */
function cmpxchg16b(e: Emit): void {
  const { f } = e;
  const at = f.let(e.address());
  f.if(at.and(15).ne(0), () => e.raise(VECTOR.gp));
  e.probeWrite(at, 16);
  const low = e.load(at, 8);
  const high = e.load(at.add(8), 8);
  const [rax, rdx] = [f.let(e.getSlot(SLOT.rax, 8)), f.let(e.getSlot(SLOT.rdx, 8))];
  const isEqual = f.let(low.eq(rax).and(high.eq(rdx)));
  const either = (a: I64, b: I64) => select(isEqual, a, b);
  // The store happens in any case.
  e.store(at, 8, f.let(either(e.getSlot(SLOT.rbx, 8), low)));
  e.store(at.add(8), 8, f.let(either(e.getSlot(SLOT.rcx, 8), high)));
  e.setSlot(SLOT.rax, 8, either(rax, low));
  e.setSlot(SLOT.rdx, 8, either(rdx, high));
  e.flags.load(e.flags.image().and(~FLAG.zf).or(isEqual.shl(6)));
}

/** Operand b is the selector. Kernels execute it with a data segment of theirs, on each way to a program. */
function verw(e: Emit): void {
  const { f, cpu } = e;
  const selector = f.let(e.get('b', 2).wrap());
  const unusual = isInGdt(f, cpu, selector).eqz().or(selector.and(0xfffc).eqz());
  f.if(unusual.or(f.load32(cpu, CPU.cpl)), () => e.callout());
  const descriptor = e.load(gdtEntry(f, cpu, selector), 8);
  f.if(isFlat(descriptor, DATA_DESCRIPTOR, selector).eqz(), () => e.callout());
  e.flags.load(e.flags.image().or(FLAG.zf));
}

export function defineSystemRegisters(ops: MicroOps): void {
  ops.cold('rdmsr', rdmsr);
  ops.cold('wrmsr', wrmsr);
  ops.cold('mov.toCr3', movToCr3);
  ops.cold('invlpg', invlpg);
  ops.cold('rdtscp', rdtscp);
  ops.cold('cmpxchg16b', cmpxchg16b);
  ops.cold('verw', verw);
  for (const n of [0, 2, 3, 4] as const) {
    ops.cold(`mov.fromCr${n}`, (e) => {
      requireSupervisor(e);
      e.set('a', 8, e.f.load64(e.cpu, CPU[`cr${n}`]));
    });
  }
  ops.cold('mov.toCr2', (e) => {
    requireSupervisor(e);
    e.f.store64(e.cpu, CPU.cr2, e.get('b', 8));
  });
  for (let n = 0; n < 6; n++) {
    const selector = segmentAt(n) + SEGMENT.selector;
    for (const size of [2, 4] as const) {
      ops.cold(`mov.fromSegment${n}.${size}`, (e) => e.set('a', size, e.f.load16u64(e.cpu, selector)));
    }
    if (n === SS) continue;
    ops.cold(`mov.toSegment${n}`, (e) => {
      const value = e.f.let(e.get('b', 2).wrap());
      e.f.if(value.and(0xfffc), () => e.callout());
      setNullSegment(e.f, e.cpu, n, value);
    });
  }
}
