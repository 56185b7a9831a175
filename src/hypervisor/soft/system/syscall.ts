/** SYSCALL, SYSRET, SYSENTER, SYSEXIT and SWAPGS (Intel SDM vol. 3, 5.8.7 and 5.8.8). */
import { ATTR, CS, EFER, FLAG, SS, VECTOR } from '../architecture.ts';
import { type Insn, SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import { requirePrivilege0 } from './checks.ts';
import type { CpuState } from './cpu-state.ts';
import { isCanonical } from './descriptors.ts';
import { setFlags } from './flags.ts';
import { nextRip } from './operands.ts';
import { RSP } from './stack.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RCX = 1;
const RDX = 2;
const R11 = 11;
/** What SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c_7fd7;
const FLAT_LIMIT = 0xffff_ffff;

/** These instructions load flat segments without a look at the descriptor tables. */
function setFlat(state: CpuState, code: number, stack: number, cpl: number, is64: boolean): void {
  const present = ATTR.present | ATTR.s | ATTR.g | (cpl << 5);
  const bits = is64 ? ATTR.l : ATTR.db;
  state.setSegment(CS, (code & 0xfffc) | cpl, 0n, FLAT_LIMIT, present | bits | 0xb);
  state.setSegment(SS, (stack & 0xfffc) | cpl, 0n, FLAT_LIMIT, present | ATTR.db | 3);
  state.setCpl(cpl);
}

export function syscall({ state }: SystemCpu, insn: Insn): Next {
  if ((state.efer & EFER.sce) === 0 || !state.isProtected || state.isVirtual8086) state.raise(VECTOR.ud);
  const star = state.u64(CPU.star);
  const selector = Number((star >> 32n) & 0xffffn);
  const next = nextRip(state, insn);
  const flags = state.rflags & ~FLAG.rf;
  if (state.isLongMode) {
    const target = state.u64(state.is64BitCode ? CPU.lstar : CPU.cstar);
    state.setReg(RCX, next);
    state.setReg(R11, BigInt(flags));
    setFlat(state, selector, selector + 8, 0, true);
    state.rip = target;
    setFlags(state, flags & ~Number(state.u64(CPU.sfmask) & 0xffff_ffffn));
  } else {
    state.setReg(RCX, next, 4);
    setFlat(state, selector, selector + 8, 0, false);
    state.rip = star & 0xffff_ffffn;
    setFlags(state, flags & ~(FLAG.if | FLAG.vm));
  }
  state.updateMode();
  return 'jump';
}

export function sysret({ state }: SystemCpu, insn: Insn): Next {
  if ((state.efer & EFER.sce) === 0 || !state.isProtected || state.isVirtual8086) state.raise(VECTOR.ud);
  requirePrivilege0(state);
  const selector = Number((state.u64(CPU.star) >> 48n) & 0xffffn);
  const to64 = state.isLongMode && insn.opSize === 8;
  const rip = state.reg(RCX);
  if (to64 && !isCanonical(rip)) state.raise(VECTOR.gp);
  const flags = state.isLongMode
    ? (Number(state.reg(R11) & 0xffff_ffffn) & SYSRET_FLAGS) | 2
    : (state.rflags | FLAG.if) & ~FLAG.rf;
  setFlat(state, to64 ? selector + 16 : selector, selector + 8, 3, to64);
  state.rip = to64 ? rip : rip & 0xffff_ffffn;
  setFlags(state, flags);
  state.updateMode();
  return 'jump';
}

export function sysenter({ state }: SystemCpu): Next {
  const selector = Number(state.u64(CPU.sysenterCs) & 0xfffcn);
  if (!state.isProtected || selector === 0) state.raise(VECTOR.gp);
  const long = state.isLongMode;
  setFlags(state, state.rflags & ~(FLAG.vm | FLAG.if | FLAG.rf));
  setFlat(state, selector, selector + 8, 0, long);
  const bits = long ? 64 : 32;
  state.setReg(RSP, BigInt.asUintN(bits, state.u64(CPU.sysenterEsp)));
  state.rip = BigInt.asUintN(bits, state.u64(CPU.sysenterEip));
  state.updateMode();
  return 'jump';
}

export function sysexit({ state }: SystemCpu, insn: Insn): Next {
  const selector = Number(state.u64(CPU.sysenterCs) & 0xfffcn);
  if (!state.isProtected || selector === 0 || state.cpl !== 0) state.raise(VECTOR.gp);
  const to64 = state.isLongMode && insn.opSize === 8;
  const [rip, rsp] = [state.reg(RDX), state.reg(RCX)];
  if (to64 && (!isCanonical(rip) || !isCanonical(rsp))) state.raise(VECTOR.gp);
  setFlat(state, selector + (to64 ? 32 : 16), selector + (to64 ? 40 : 24), 3, to64);
  state.setReg(RSP, rsp, to64 ? 8 : 4);
  state.rip = to64 ? rip : rip & 0xffff_ffffn;
  state.updateMode();
  return 'jump';
}

export function swapgs({ state }: SystemCpu): Next {
  requirePrivilege0(state);
  const base = state.segmentBase(SEG.gs);
  state.setSegmentBase(SEG.gs, state.u64(CPU.kernelGsBase));
  state.setU64(CPU.kernelGsBase, base);
  return 'next';
}
