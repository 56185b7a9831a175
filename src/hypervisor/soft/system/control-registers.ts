/** CR0-CR8, EFER and the instructions that change them (Intel SDM vol. 3, 2.5 and 9.8.5). */
import { ATTR, CR0, CR4, CS, EFER, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import { requirePrivilege0 } from './checks.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { effectiveOffset, readOperand, writeOperand } from './operands.ts';
import type { Next, SystemCpu } from './system-cpu.ts';
import { isTss16 } from './tss.ts';

const CR0_KNOWN =
  (CR0.pe | CR0.mp | CR0.em | CR0.ts | CR0.et | CR0.ne | CR0.wp | CR0.am | CR0.nw | CR0.cd | CR0.pg) >>> 0;
const CR4_KNOWN = CR4.tsd | CR4.de | CR4.pse | CR4.pae | CR4.mce | CR4.pge | CR4.pce | CR4.osfxsr | CR4.osxmmexcpt;
/** Automatic IBRS, an AMD bit that CPUID 80000021 promises; there is no speculation that it could restrain. */
const EFER_AUTO_IBRS = 1 << 21;
const EFER_KNOWN = EFER.sce | EFER.lme | EFER.lma | EFER.nxe | EFER_AUTO_IBRS;
/** Physical addresses have 46 bits. */
const CR3_RESERVED = ~((1n << 46n) - 1n) & 0xffff_ffff_ffff_ffffn;

export function writeCr0(state: CpuState, value: bigint): void {
  if (value >> 32n !== 0n) state.raise(VECTOR.gp);
  const next = ((Number(value) & CR0_KNOWN) | CR0.et) >>> 0;
  const old = state.cr0;
  const has = (bit: number) => (next & bit) !== 0;
  if ((has(CR0.pg) && !has(CR0.pe)) || (has(CR0.nw) && !has(CR0.cd))) state.raise(VECTOR.gp);
  const changed = (old ^ next) >>> 0;
  if ((changed & CR0.pg) !== 0) changePaging(state, has(CR0.pg));
  state.setU64(CPU.cr0, BigInt(next));
  if ((changed & (CR0.pg | CR0.wp | CR0.pe)) !== 0) state.tlb.flush();
  if ((changed & (CR0.pg | CR0.pe | CR0.em | CR0.ts)) !== 0) state.updateMode();
}

/** Long mode becomes active, or ends, together with paging. */
function changePaging(state: CpuState, on: boolean): void {
  const inLongCode = state.isProtected && (state.segmentAttributes(CS) & ATTR.l) !== 0;
  if (!on) {
    if (state.is64BitCode) state.raise(VECTOR.gp);
    state.setU64(CPU.efer, BigInt(state.efer & ~EFER.lma));
  } else if ((state.efer & EFER.lme) !== 0) {
    if ((state.cr4 & CR4.pae) === 0 || inLongCode || isTss16(state)) state.raise(VECTOR.gp);
    state.setU64(CPU.efer, BigInt(state.efer | EFER.lma));
  }
}

export function writeCr3(state: CpuState, value: bigint): void {
  if (state.isLongMode && (value & CR3_RESERVED) !== 0n) state.raise(VECTOR.gp);
  state.setU64(CPU.cr3, value);
  state.tlb.flushNonGlobal();
}

export function writeCr4(state: CpuState, value: bigint): void {
  if ((value & ~BigInt(CR4_KNOWN)) !== 0n) state.raise(VECTOR.gp);
  const next = Number(value);
  if (state.isLongMode && (next & CR4.pae) === 0) state.raise(VECTOR.gp);
  const changed = state.cr4 ^ next;
  state.setU64(CPU.cr4, value);
  if ((changed & (CR4.pge | CR4.pse | CR4.pae)) !== 0) state.tlb.flush();
  if ((changed & CR4.osfxsr) !== 0) state.updateMode();
}

/** IA32_EFER; false for #GP. LMA only follows from LME and CR0.PG. */
export function writeEfer(state: CpuState, value: bigint): boolean {
  if ((value & ~BigInt(EFER_KNOWN)) !== 0n) return false;
  const old = state.efer;
  const next = (Number(value) & ~EFER.lma) | (old & EFER.lma);
  if (((old ^ next) & EFER.lme) !== 0 && (state.cr0 & CR0.pg) !== 0) return false;
  state.setU64(CPU.efer, BigInt(next));
  if (((old ^ next) & EFER.nxe) !== 0) state.tlb.flush();
  return true;
}

export function movToCr({ state, apic }: SystemCpu, insn: Insn): Next {
  requirePrivilege0(state);
  const value = readOperand(state, insn, insn.b);
  switch (insn.a.reg) {
    case 0:
      writeCr0(state, value);
      break;
    case 2:
      state.setU64(CPU.cr2, value);
      break;
    case 3:
      writeCr3(state, value);
      break;
    case 4:
      writeCr4(state, value);
      break;
    default:
      if (value > 15n) state.raise(VECTOR.gp);
      apic.tpr = Number(value) << 4;
  }
  return 'next';
}

export function movFromCr({ state, apic }: SystemCpu, insn: Insn): Next {
  requirePrivilege0(state);
  const fields: Readonly<Record<number, number>> = { 0: CPU.cr0, 2: CPU.cr2, 3: CPU.cr3, 4: CPU.cr4 };
  const field = fields[insn.b.reg];
  const value = field === undefined ? BigInt(apic.tpr >> 4) : state.u64(field);
  state.setReg(insn.a.reg, value, insn.a.size as AccessSize);
  return 'next';
}

/** Loads CR0.PE, MP, EM and TS; PE cannot be cleared. */
export function lmsw({ state }: SystemCpu, insn: Insn): Next {
  requirePrivilege0(state);
  const loaded = CR0.mp | CR0.em | CR0.ts;
  const value = Number(readOperand(state, insn, insn.a)) & (loaded | CR0.pe);
  writeCr0(state, BigInt(((state.cr0 & ~loaded) | value) >>> 0));
  return 'next';
}

export function smsw({ state }: SystemCpu, insn: Insn): Next {
  writeOperand(state, insn, insn.a, BigInt(state.cr0));
  return 'next';
}

export function clts({ state }: SystemCpu): Next {
  requirePrivilege0(state);
  state.setU64(CPU.cr0, BigInt((state.cr0 & ~CR0.ts) >>> 0));
  state.updateMode();
  return 'next';
}

export function invlpg({ state }: SystemCpu, insn: Insn): Next {
  requirePrivilege0(state);
  const offset = effectiveOffset(state, insn);
  if (!state.is64BitCode) {
    state.tlb.invalidatePage((state.segmentBase(insn.seg) + offset) & 0xffff_ffffn);
  } else {
    const base = insn.seg >= 4 ? state.segmentBase(insn.seg) : 0n;
    state.tlb.invalidatePage(BigInt.asUintN(64, base + offset));
  }
  return 'next';
}
