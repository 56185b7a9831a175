/** Model-specific registers (Intel SDM vol. 4; AMD APM vol. 2, appendix A). */
import { VECTOR } from '../architecture.ts';
import { SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import { requirePrivilege0 } from './checks.ts';
import { writeEfer } from './control-registers.ts';
import type { CpuState } from './cpu-state.ts';
import { isCanonical } from './descriptors.ts';
import {
  MSR_KVM_SYSTEM_TIME,
  MSR_KVM_WALL_CLOCK,
  updateSystemTime,
  writeSystemTimeMsr,
  writeWallClockMsr,
} from './kvmclock.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

export const MSR = {
  tsc: 0x10,
  apicBase: 0x1b,
  microcodeRevision: 0x8b,
  mtrrCap: 0xfe,
  sysenterCs: 0x174,
  sysenterEsp: 0x175,
  sysenterEip: 0x176,
  miscEnable: 0x1a0,
  mtrrVariableFirst: 0x200,
  mtrrVariableLast: 0x20f,
  pat: 0x277,
  mtrrDefType: 0x2ff,
  tscDeadline: 0x6e0,
  x2apicFirst: 0x800,
  x2apicLast: 0x83f,
  efer: 0xc000_0080,
  star: 0xc000_0081,
  lstar: 0xc000_0082,
  cstar: 0xc000_0083,
  sfmask: 0xc000_0084,
  fsBase: 0xc000_0100,
  gsBase: 0xc000_0101,
  kernelGsBase: 0xc000_0102,
  tscAux: 0xc000_0103,
} as const;

const MTRR_FIXED: readonly number[] = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
/** 8 variable ranges, fixed ranges, write-combining. */
const MTRR_CAP = 0x508n;
const MTRR_DEF_TYPE_KNOWN = 0xcffn;
const MEMORY_TYPES: readonly bigint[] = [0n, 1n, 4n, 5n, 6n];
const PAT_TYPES: readonly bigint[] = [...MEMORY_TYPES, 7n];
const PHYSICAL_MASK = (1n << 46n) - 1n;

/** Registers that are only kept. */
const PLAIN: Readonly<Record<number, number>> = {
  [MSR.sysenterCs]: CPU.sysenterCs,
  [MSR.miscEnable]: CPU.miscEnable,
  [MSR.star]: CPU.star,
};
/** Registers that hold a linear address. */
const ADDRESSES: Readonly<Record<number, number>> = {
  [MSR.sysenterEsp]: CPU.sysenterEsp,
  [MSR.sysenterEip]: CPU.sysenterEip,
  [MSR.lstar]: CPU.lstar,
  [MSR.cstar]: CPU.cstar,
  [MSR.kernelGsBase]: CPU.kernelGsBase,
};
/**
 * Registers that kernels for processors of this kind read without asking CPUID, with their fixed values: P5 machine
 * check, platform id, microcode revision, machine check capability, DEBUGCTL, SYSCFG, HWCR (the TSC counts at a constant
 * rate), NB_CFG, DE_CFG (LFENCE is serializing), caches and buses. Writes are ignored.
 */
const FIXED: Readonly<Record<number, bigint>> = {
  [0x0]: 0n,
  [0x1]: 0n,
  [0x17]: 0n,
  [MSR.microcodeRevision]: 0x0a00_11d1n,
  [0x179]: 0n,
  [0x17a]: 0n,
  [0x1d9]: 0n,
  [0xc001_0010]: 0n,
  [0xc001_0015]: 1n << 24n,
  [0xc001_001a]: 0n,
  [0xc001_001d]: 0n,
  [0xc001_001f]: 0n,
  [0xc001_0055]: 0n,
  [0xc001_0058]: 0n,
  [0xc001_0112]: 0n,
  [0xc001_0113]: 0n,
  [0xc001_1021]: 0n,
  [0xc001_1022]: 0n,
  [0xc001_1023]: 0n,
  [0xc001_1029]: 2n,
  [0xc001_102a]: 0n,
};

/** Reads an MSR; undefined where there is none (#GP). */
export function readMsr(cpu: SystemCpu, index: number): bigint | undefined {
  const { state, apic } = cpu;
  const field = PLAIN[index] ?? ADDRESSES[index] ?? mtrrField(index);
  if (field !== undefined) return state.u64(field);
  if (isApic(index)) {
    return apic.readMsr(index) ? (BigInt(apic.msrHigh >>> 0) << 32n) | BigInt(apic.msrLow >>> 0) : undefined;
  }
  switch (index) {
    case MSR.tsc:
      return cpu.readTsc();
    case MSR.mtrrCap:
      return MTRR_CAP;
    case MSR.pat:
      return state.u64(CPU.pat);
    case MSR.mtrrDefType:
      return state.u64(CPU.mtrrDefType);
    case MSR.tscDeadline:
      return cpu.tscDeadline;
    case MSR.efer:
      return BigInt(state.efer);
    case MSR.sfmask:
      return state.u64(CPU.sfmask);
    case MSR.fsBase:
      return state.segmentBase(SEG.fs);
    case MSR.gsBase:
      return state.segmentBase(SEG.gs);
    case MSR.tscAux:
      return state.u64(CPU.tscAux);
    case MSR_KVM_WALL_CLOCK:
      return state.u64(CPU.kvmWallClock);
    case MSR_KVM_SYSTEM_TIME:
      return state.u64(CPU.kvmSystemTime);
    default:
      return FIXED[index];
  }
}

/** Writes an MSR; false for #GP, which changes nothing. */
export function writeMsr(cpu: SystemCpu, index: number, value: bigint): boolean {
  const { state } = cpu;
  const plain = PLAIN[index];
  if (plain !== undefined) return store(state, plain, value);
  const address = ADDRESSES[index];
  if (address !== undefined) return store(state, address, value, isCanonical(value));
  if (isApic(index)) return cpu.apic.writeMsr(index, Number(value & 0xffff_ffffn), Number(value >> 32n));
  const mtrr = mtrrField(index);
  if (mtrr !== undefined) return store(state, mtrr, value, isMtrrValue(index, value));
  switch (index) {
    case MSR.tsc:
      cpu.writeTsc(value);
      updateSystemTime(cpu);
      return true;
    case MSR.pat:
      return store(state, CPU.pat, value, hasTypes(value, PAT_TYPES));
    case MSR.mtrrDefType: {
      const valid = (value & ~MTRR_DEF_TYPE_KNOWN) === 0n && MEMORY_TYPES.includes(value & 0xffn);
      return store(state, CPU.mtrrDefType, value, valid);
    }
    case MSR.tscDeadline:
      cpu.tscDeadline = value;
      return true;
    case MSR.efer:
      return writeEfer(state, value);
    case MSR.sfmask:
      return store(state, CPU.sfmask, value, value >> 32n === 0n);
    case MSR.fsBase:
      return storeBase(state, SEG.fs, value);
    case MSR.gsBase:
      return storeBase(state, SEG.gs, value);
    case MSR.tscAux:
      return store(state, CPU.tscAux, value, value >> 32n === 0n);
    case MSR_KVM_WALL_CLOCK:
      return writeWallClockMsr(cpu, value);
    case MSR_KVM_SYSTEM_TIME:
      return writeSystemTimeMsr(cpu, value);
    default:
      return FIXED[index] !== undefined;
  }
}

function store(state: CpuState, field: number, value: bigint, valid = true): boolean {
  if (valid) state.setU64(field, value);
  return valid;
}

function storeBase(state: CpuState, segment: number, value: bigint): boolean {
  const valid = isCanonical(value);
  if (valid) state.setSegmentBase(segment, value);
  return valid;
}

function isApic(index: number): boolean {
  return index === MSR.apicBase || (index >= MSR.x2apicFirst && index <= MSR.x2apicLast);
}

function mtrrField(index: number): number | undefined {
  if (index >= MSR.mtrrVariableFirst && index <= MSR.mtrrVariableLast) {
    return CPU.mtrrVariable + (index - MSR.mtrrVariableFirst) * 8;
  }
  const fixed = MTRR_FIXED.indexOf(index);
  return fixed < 0 ? undefined : CPU.mtrrFixed + fixed * 8;
}

function isMtrrValue(index: number, value: bigint): boolean {
  if (index > MSR.mtrrVariableLast) return hasTypes(value, MEMORY_TYPES);
  if ((value & ~PHYSICAL_MASK) !== 0n) return false;
  const isMask = (index & 1) === 1;
  return isMask ? (value & 0x7ffn) === 0n : (value & 0xf00n) === 0n && MEMORY_TYPES.includes(value & 0xffn);
}

function hasTypes(value: bigint, types: readonly bigint[]): boolean {
  for (let shift = 0n; shift < 64n; shift += 8n) {
    if (!types.includes((value >> shift) & 0xffn)) return false;
  }
  return true;
}

const RAX = 0;
const RCX = 1;
const RDX = 2;

export function rdmsr(cpu: SystemCpu): Next {
  const { state } = cpu;
  requirePrivilege0(state);
  const value = readMsr(cpu, Number(state.reg(RCX) & 0xffff_ffffn));
  if (value === undefined) return state.raise(VECTOR.gp);
  state.setReg(RAX, value, 4);
  state.setReg(RDX, value >> 32n, 4);
  return 'next';
}

export function wrmsr(cpu: SystemCpu): Next {
  const { state } = cpu;
  requirePrivilege0(state);
  const value = (BigInt.asUintN(32, state.reg(RDX)) << 32n) | BigInt.asUintN(32, state.reg(RAX));
  if (!writeMsr(cpu, Number(state.reg(RCX) & 0xffff_ffffn), value)) state.raise(VECTOR.gp);
  return 'next';
}
