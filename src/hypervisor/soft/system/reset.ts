/** The state after power-up, INIT and SIPI (Intel SDM vol. 3, 9.1.1 and table 9-1). */
import { ATTR, CR0, CS, LDTR, TR } from '../architecture.ts';
import { CPU } from '../state.ts';
import type { SystemCpu } from './system-cpu.ts';

const PAT_AT_RESET = 0x0007_0406_0007_0406n;
const FAST_STRINGS = 1n;
const XMM_BYTES = 256;
const MXCSR_AT_RESET = 0x1f80;
const X87_CONTROL_AT_RESET = 0x40;
const RDX = 2;
const REAL_DATA = 0x93;

/** Power-up: everything. */
export function reset(cpu: SystemCpu): void {
  const { state } = cpu;
  for (let field = CPU.gdtrBase; field <= CPU.interruptShadow; field += 8) state.setU64(field, 0n);
  state.setU64(CPU.pat, PAT_AT_RESET);
  state.setU64(CPU.miscEnable, FAST_STRINGS);
  state.bytes.fill(0, state.block + CPU.xmm, state.block + CPU.xmm + XMM_BYTES);
  state.bytes.fill(0, state.block + CPU.x87, state.block + CPU.mxcsr);
  state.setU32(CPU.mxcsr, MXCSR_AT_RESET);
  state.view.setUint16(state.block + CPU.x87Control, X87_CONTROL_AT_RESET, true);
  state.setU64(CPU.cr0, BigInt((CR0.et | CR0.cd | CR0.nw) >>> 0));
  initialize(cpu);
}

/** INIT: what it leaves are the floating-point and vector registers, most MSRs, and the cache bits of CR0. */
export function initialize(cpu: SystemCpu): void {
  const { state } = cpu;
  for (let n = 0; n < 16; n++) state.setReg(n, 0n);
  state.setReg(RDX, BigInt(cpu.cpuid.find((entry) => entry.leaf === 1)?.eax ?? 0));
  state.setU64(CPU.cr0, BigInt(((state.cr0 & (CR0.cd | CR0.nw)) | CR0.et) >>> 0));
  for (const field of [CPU.cr2, CPU.cr3, CPU.cr4, CPU.efer]) {
    state.setU64(field, 0n);
  }
  for (let n = 0; n < 6; n++) state.setSegment(n, 0, 0n, 0xffff, REAL_DATA);
  state.setSegment(CS, 0xf000, 0xffff_0000n, 0xffff, 0x9b);
  state.setSegment(LDTR, 0, 0n, 0xffff, ATTR.present | 2);
  state.setSegment(TR, 0, 0n, 0xffff, ATTR.present | 11);
  state.setU64(CPU.gdtrBase, 0n);
  state.setU32(CPU.gdtrLimit, 0xffff);
  state.setU64(CPU.idtrBase, 0n);
  state.setU32(CPU.idtrLimit, 0xffff);
  for (let n = 0; n < 4; n++) state.setU64(CPU.dr + n * 8, 0n);
  state.setU64(CPU.dr6, 0xffff_0ff0n);
  state.setU64(CPU.dr7, 0x400n);
  state.setU32(CPU.nmiBlocked, 0);
  state.setU32(CPU.interruptShadow, 0);
  state.rflags = 2;
  state.rip = 0xfff0n;
  state.setCpl(0);
  state.tlb.flush();
  state.updateMode();
}

/** SIPI, after INIT: real mode at page `vector`. */
export function startUp({ state }: SystemCpu, vector: number): void {
  state.setSegment(CS, vector << 8, BigInt(vector << 12), 0xffff, 0x9b);
  state.rip = 0n;
  state.updateMode();
}
