/**
 * SYSCALL, SYSRET, IRET and SWAPGS between privileges 0 and 3 of 64-bit code. Whatever is unusual is left to system/,
 * before anything has changed.
 */
import { ARITHMETIC_FLAGS, CS, EFER, FLAG, GS, SS, VECTOR } from '../architecture.ts';
import { CPU, SLOT } from '../state.ts';
import { type I32, I64 } from '../wasm/expr.ts';
import type { Local } from '../wasm/function-builder.ts';
import type { Emit, MicroOps } from './emit.ts';
import {
  attributesOf,
  CODE64_ATTRIBUTES,
  CODE64_DESCRIPTOR,
  DATA_ATTRIBUTES,
  DATA_DESCRIPTOR,
  gdtEntry,
  hasPrivilegedSegment,
  isFlat,
  isInGdt,
  isNotCanonical,
  runs64BitCode,
  segmentAt,
  setFlatSegment,
  setNullSegment,
  setPrivilege,
} from './long-mode.ts';

const RPL_USER = 3;
const DPL_USER = 0x60;
/** What SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c_7fd7;
/** RFLAGS besides the arithmetic flags as IRET at privilege 0 loads it (SDM vol. 2, IRET); TF is for system/. */
const IRET_FLAGS = FLAG.if | FLAG.df | FLAG.iopl | FLAG.nt | FLAG.rf | FLAG.ac | FLAG.id;
const FRAME = { rip: 0, cs: 8, flags: 16, rsp: 24, ss: 32 } as const;

/** #GP unless the privilege is 0. */
export function requireSupervisor(e: Emit): void {
  e.f.if(e.f.load32(e.cpu, CPU.cpl), () => e.raise(VECTOR.gp));
}

/** TypeScript executes the instruction, which ends its block, if `unusual`. */
export function leaveIf(e: Emit, unusual: I32): void {
  e.f.if(unusual, () => e.calloutAtEnd());
}

/** Sets RFLAGS without the arithmetic flags. */
function setEflags(e: Emit, value: I32): void {
  const { f } = e;
  const now = f.let(value);
  const enabled = now.and(f.load32(e.cpu, CPU.eflags).xor(-1)).and(FLAG.if);
  f.if(enabled.and(f.load32(e.cpu, CPU.interruptWaits).ne(0).shl(9)), () => e.requestAttention());
  f.store32(e.cpu, CPU.eflags, now);
}

/** Whether SYSCALL and SYSRET are what they usually are. */
function hasSyscall(e: Emit): I32 {
  return runs64BitCode(e.f, e.cpu).and(e.f.load64(e.cpu, CPU.efer).wrap());
}

function syscall(e: Emit): void {
  const { f, cpu } = e;
  leaveIf(e, hasSyscall(e).and(EFER.sce).eqz());
  const flags = f.let(e.flags.image().or(f.load32(cpu, CPU.eflags)).and(~FLAG.rf));
  e.setSlot(SLOT.rcx, 8, e.returnAddress());
  e.setSlot(SLOT.r11, 8, flags.toI64());
  const kept = f.let(flags.and(f.load64(cpu, CPU.sfmask).wrap().xor(-1)));
  e.flags.load(kept);
  f.store32(cpu, CPU.eflags, kept.and(~ARITHMETIC_FLAGS).or(2));
  const selector = f.let(f.load32(cpu, CPU.star + 4).and(0xfffc));
  setFlatSegment(f, cpu, CS, selector, CODE64_ATTRIBUTES);
  setFlatSegment(f, cpu, SS, selector.add(8).and(0xffff), DATA_ATTRIBUTES);
  setPrivilege(f, cpu, 0);
  e.jumpTo(f.load64(cpu, CPU.lstar));
}

/** SYSRET with a 64-bit operand size. */
function sysret(e: Emit): void {
  const { f, cpu } = e;
  const rip = f.let(e.getSlot(SLOT.rcx, 8));
  const flags = f.let(e.getSlot(SLOT.r11, 8).wrap().and(SYSRET_FLAGS).or(2));
  const usual = hasSyscall(e).and(EFER.sce).and(f.load32(cpu, CPU.cpl).eqz());
  leaveIf(e, usual.eqz().or(isNotCanonical(rip)).or(flags.and(FLAG.tf)));
  e.flags.load(flags);
  setEflags(e, flags.and(~ARITHMETIC_FLAGS));
  const selector = f.let(f.load32(cpu, CPU.star + 4).shrU(16));
  setFlatSegment(f, cpu, CS, selector.add(16).and(0xfffc).or(RPL_USER), CODE64_ATTRIBUTES | DPL_USER);
  setFlatSegment(f, cpu, SS, selector.add(8).and(0xfffc).or(RPL_USER), DATA_ATTRIBUTES | DPL_USER);
  setPrivilege(f, cpu, 3);
  e.jumpTo(rip);
}

/** IRET with a 64-bit operand size. */
function iret(e: Emit): void {
  const { f, cpu } = e;
  const sp = f.let(e.getSlot(SLOT.rsp, 8));
  const state = f.load32(cpu, CPU.cpl).or(f.load32(cpu, CPU.nmiBlocked)).or(f.load32(cpu, CPU.eflags).and(FLAG.nt));
  const usual = runs64BitCode(f, cpu).and(state.eqz());
  leaveIf(
    e,
    usual
      .eqz()
      .or(isNotCanonical(sp))
      .or(isNotCanonical(sp.add(FRAME.ss + 7))),
  );
  const rip = e.load(sp, 8);
  const cs = f.let(e.load(sp.add(FRAME.cs), 8).wrap().and(0xffff));
  const image = f.let(e.load(sp.add(FRAME.flags), 8).wrap());
  const rsp = e.load(sp.add(FRAME.rsp), 8);
  const ss = f.let(e.load(sp.add(FRAME.ss), 8).wrap().and(0xffff));

  leaveIf(
    e,
    isInGdt(f, cpu, cs)
      .eqz()
      .or(isInGdt(f, cpu, ss).eqz())
      .or(image.and(FLAG.tf))
      .or(isNotCanonical(rip)),
  );
  const [code, stack] = [f.variable(I64.const(0)), f.variable(I64.const(0))];
  f.if(isNotNull(cs), () => f.set(code, e.load(gdtEntry(f, cpu, cs), 8)));
  f.if(isNotNull(ss), () => f.set(stack, e.load(gdtEntry(f, cpu, ss), 8)));
  const isUser = f.let(cs.and(3).ne(0));
  const isNull = f.let(ss.or(isUser).eqz());
  const segmentsAreUsual = isFlat(code, CODE64_DESCRIPTOR, cs).and(
    isFlat(stack, DATA_DESCRIPTOR, ss).and(ss.xor(cs).and(3).eqz()).or(isNull),
  );
  leaveIf(e, segmentsAreUsual.eqz().or(isUser.and(hasUnusualUser(e, cs))));
  finishIret(e, { rip, cs, image, rsp, ss, code, stack, isUser, isNull });
}

function isNotNull(selector: I32): I32 {
  return selector.and(0xfffc).ne(0);
}

/** Privileges 1 and 2, and segment registers that privilege 3 must not keep. */
function hasUnusualUser(e: Emit, cs: I32): I32 {
  return cs.and(3).ne(RPL_USER).or(hasPrivilegedSegment(e.f, e.cpu));
}

interface Return {
  readonly rip: I64;
  readonly cs: I32;
  readonly image: I32;
  readonly rsp: I64;
  readonly ss: I32;
  readonly code: I64;
  readonly stack: I64;
  readonly isUser: Local<'i32'>;
  readonly isNull: I32;
}

function finishIret(e: Emit, { rip, cs, image, rsp, ss, code, stack, isUser, isNull }: Return): void {
  const { f, cpu } = e;
  setFlatSegment(f, cpu, CS, cs, attributesOf(code));
  f.if(
    isNull,
    () => setNullSegment(f, cpu, SS, ss),
    () => setFlatSegment(f, cpu, SS, ss, attributesOf(stack)),
  );
  e.flags.load(image);
  const kept = f.load32(cpu, CPU.eflags).and(~(IRET_FLAGS | FLAG.tf));
  setEflags(e, kept.or(image.and(IRET_FLAGS)));
  e.setSlot(SLOT.rsp, 8, rsp);
  f.if(isUser, () => setPrivilege(f, cpu, 3));
  e.jumpTo(rip);
}

function swapgs(e: Emit): void {
  const { f, cpu } = e;
  requireSupervisor(e);
  const base = f.let(f.load64(cpu, segmentAt(GS)));
  f.store64(cpu, segmentAt(GS), f.load64(cpu, CPU.kernelGsBase));
  f.store64(cpu, CPU.kernelGsBase, base);
}

export function defineSystemCalls(ops: MicroOps): void {
  ops.cold('syscall', syscall);
  ops.cold('sysret', sysret);
  ops.cold('iret', iret);
  ops.cold('swapgs', swapgs);
}
