/** System instructions that belong to no larger theme. */
import { CR0, CR4, FLAG, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import { checkFpu, requirePrivilege0 } from './checks.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { deliver, deliverSoftware } from './exceptions.ts';
import { setZeroFlag } from './flags.ts';
import { memoryOperand, nextRip, readOperand, writeOperand } from './operands.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const ARITHMETIC = FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.of;
const MXCSR_KNOWN = 0xffff;
const FX_SIZE = 512;
/** What KVM answers to a hypercall that it does not know. */
const KVM_ENOSYS = -1000n;
const KVM_EPERM = -1n;

export function halt({ state }: SystemCpu): Next {
  requirePrivilege0(state);
  return 'halt';
}

/** INVD and WBINVD: the caches that there are cannot be seen. */
export function flushCaches({ state }: SystemCpu): Next {
  requirePrivilege0(state);
  return 'next';
}

export function undefinedOpcode({ state }: SystemCpu): Next {
  return state.raise(VECTOR.ud);
}

/** We have no hypercalls. */
export function vmcall({ state }: SystemCpu): Next {
  state.setReg(RAX, state.cpl === 0 ? KVM_ENOSYS : KVM_EPERM, state.is64BitCode ? 8 : 4);
  return 'next';
}

export function rdtsc(cpu: SystemCpu): Next {
  const { state } = cpu;
  if ((state.cr4 & CR4.tsd) !== 0 && state.cpl !== 0) state.raise(VECTOR.gp);
  const tsc = cpu.readTsc();
  state.setReg(RAX, tsc, 4);
  state.setReg(RDX, tsc >> 32n, 4);
  return 'next';
}

export function rdtscp(cpu: SystemCpu): Next {
  rdtsc(cpu);
  cpu.state.setReg(RCX, cpu.state.u64(CPU.tscAux), 4);
  return 'next';
}

/** There are no performance counters. */
export function rdpmc({ state }: SystemCpu): Next {
  return state.raise(VECTOR.gp);
}

export function rdrand(cpu: SystemCpu, insn: Insn): Next {
  const { state } = cpu;
  state.setReg(insn.a.reg, cpu.random(), insn.a.size as AccessSize);
  state.rflags = (state.rflags & ~ARITHMETIC) | FLAG.cf;
  return 'next';
}

/** INT n, INT3 and INTO. */
function software(state: CpuState, insn: Insn, vector: number): Next {
  deliverSoftware(state, vector, nextRip(state, insn));
  return 'jump';
}

export function int({ state }: SystemCpu, insn: Insn): Next {
  if (state.isVirtual8086 && ((state.u32(CPU.eflags) >> 12) & 3) !== 3) state.raise(VECTOR.gp);
  return software(state, insn, insn.imm & 0xff);
}

export function int3({ state }: SystemCpu, insn: Insn): Next {
  return software(state, insn, VECTOR.bp);
}

export function into({ state }: SystemCpu, insn: Insn): Next {
  return (state.rflags & FLAG.of) !== 0 ? software(state, insn, VECTOR.of) : 'next';
}

/** INT1 raises #DB without a look at the gate's privilege. */
export function int1(cpu: SystemCpu, insn: Insn): Next {
  cpu.state.rip = nextRip(cpu.state, insn);
  return deliver(cpu, { vector: VECTOR.db, kind: 'trap' });
}

export function bound({ state }: SystemCpu, insn: Insn): Next {
  const size = insn.opSize as 2 | 4;
  const bits = size * 8;
  const at = memoryOperand(state, insn, size * 2, 'read');
  const index = BigInt.asIntN(bits, readOperand(state, insn, insn.a));
  const lower = BigInt.asIntN(bits, state.read(at, size));
  const upper = BigInt.asIntN(bits, state.read(at + BigInt(size), size));
  if (index < lower || index > upper) state.raise(VECTOR.br);
  return 'next';
}

/** Atomic to other CMPXCHG16B only, so CPUID offers it to a lone vCPU. */
export function cmpxchg16b({ state }: SystemCpu, insn: Insn): Next {
  const at = memoryOperand(state, insn, 16, 'write');
  if ((at & 15n) !== 0n) state.raise(VECTOR.gp);
  state.probeWrite(at, 16);
  state.splitLock.acquire();
  try {
    return compareExchange16(state, at);
  } finally {
    state.splitLock.release();
  }
}

function compareExchange16(state: CpuState, at: bigint): Next {
  const low = state.read(at, 8);
  const high = state.read(at + 8n, 8);
  const equal = low === state.reg(RAX) && high === state.reg(RDX);
  state.write(at, 8, equal ? state.reg(RBX) : low);
  state.write(at + 8n, 8, equal ? state.reg(RCX) : high);
  if (!equal) {
    state.setReg(RAX, low);
    state.setReg(RDX, high);
  }
  setZeroFlag(state, equal);
  return 'next';
}

function fxOperand(state: CpuState, insn: Insn, access: 'read' | 'write'): bigint {
  if ((state.cr0 & (CR0.em | CR0.ts)) !== 0) state.raise(VECTOR.nm);
  const at = memoryOperand(state, insn, FX_SIZE, access);
  if ((at & 15n) !== 0n) state.raise(VECTOR.gp);
  return at;
}

/** The 512 bytes at `at`. */
function readImage(state: CpuState, at: bigint): DataView {
  const image = new DataView(new ArrayBuffer(FX_SIZE));
  for (let n = 0; n < FX_SIZE; n += 8) image.setBigUint64(n, state.read(at + BigInt(n), 8), true);
  return image;
}

export function fxsave({ state, fpu }: SystemCpu, insn: Insn): Next {
  const at = fxOperand(state, insn, 'write');
  const format = { wide: insn.opSize === 8, code64: state.is64BitCode };
  const host = state.hostForWrite(at, FX_SIZE);
  if (host !== 0) {
    fpu.fxsave(new DataView(state.view.buffer, host, FX_SIZE), format);
    return 'next';
  }
  state.probeWrite(at, FX_SIZE);
  const image = readImage(state, at);
  fpu.fxsave(image, format);
  for (let n = 0; n < FX_SIZE; n += 8) state.write(at + BigInt(n), 8, image.getBigUint64(n, true));
  return 'next';
}

export function fxrstor({ state, fpu }: SystemCpu, insn: Insn): Next {
  const at = fxOperand(state, insn, 'read');
  const host = state.hostForRead(at, FX_SIZE);
  const image = host === 0 ? readImage(state, at) : new DataView(state.view.buffer, host, FX_SIZE);
  const fault = fpu.fxrstor(image, { wide: insn.opSize === 8, code64: state.is64BitCode });
  if (fault !== 0) state.raise(fault - 1);
  return 'next';
}

export function ldmxcsr({ state }: SystemCpu, insn: Insn): Next {
  checkFpu(state, 'sse');
  const value = Number(readOperand(state, insn, insn.a));
  if ((value & ~MXCSR_KNOWN) !== 0) state.raise(VECTOR.gp);
  state.setU32(CPU.mxcsr, value);
  return 'next';
}

export function stmxcsr({ state }: SystemCpu, insn: Insn): Next {
  checkFpu(state, 'sse');
  writeOperand(state, insn, insn.a, BigInt(state.u32(CPU.mxcsr)));
  return 'next';
}
