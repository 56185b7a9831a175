/** x87 instructions: their memory operands, faults and pointers around the unit of fpu/x87.ts (SDM vol. 1, chapter 8). */
import { CR0, CR4, VECTOR } from '../architecture.ts';
import { type Insn, OPERAND, type Operand } from '../decode/insn.ts';
import { OP, OPS } from '../decode/opcodes.ts';
import { environmentSize } from '../fpu/environment.ts';
import { NO_STORE, type X87, X87_INSTRUCTIONS } from '../fpu/x87.ts';
import { CPU, SLOT } from '../state.ts';
import type { CpuState } from './cpu-state.ts';
import { memoryOperand } from './operands.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const STORES = new Set([OP.fst, OP.fstp, OP.fist, OP.fistp, OP.fisttp, OP.fbstp, OP.fnstcw, OP.fnstsw]);
const LOADS_IMAGE = new Set([OP.fldenv, OP.frstor]);
const STORES_IMAGE = new Set([OP.fnstenv, OP.fnsave]);
/** These leave the pointers to the last instruction alone. */
const CONTROL = new Set([
  OP.fldcw,
  OP.fnstcw,
  OP.fnstsw,
  OP.fnclex,
  OP.fninit,
  OP.fnop,
  OP.fwait,
  OP.emms,
  OP.fldenv,
  OP.fnstenv,
  OP.fnsave,
  OP.frstor,
]);

/** SSE instructions that with a memory operand have no XMM register. */
const SSE_FROM_MEMORY = new Set([
  OP.cvtss2si,
  OP.cvttss2si,
  OP.cvtsd2si,
  OP.cvttsd2si,
  OP.cvtps2pi,
  OP.cvttps2pi,
  OP.cvtpd2pi,
  OP.cvttpd2pi,
]);

/** Whether `op` is executed here. */
export function isX87(op: number): boolean {
  return X87_INSTRUCTIONS[OPS[op]!] !== undefined || LOADS_IMAGE.has(op) || STORES_IMAGE.has(op);
}

export function x87({ state }: SystemCpu, unit: X87, insn: Insn): Next {
  const fault = unit.check(insn.op);
  if (fault !== 0) state.raise(fault - 1);
  if (LOADS_IMAGE.has(insn.op) || STORES_IMAGE.has(insn.op)) return moveImage(state, unit, insn);
  const memory = [insn.a, insn.b].find((o) => o.kind === OPERAND.mem);
  if (memory === undefined) {
    const [a, b] = [stackIndex(insn.a), stackIndex(insn.b)];
    unit.execute(insn.op, a, b, 0);
    if (insn.op === OP.fnstsw) state.setReg(0, state.u64(SLOT.t1), 2);
  } else {
    withMemory(state, unit, insn, memory.size);
  }
  if (!CONTROL.has(insn.op)) notePointers(state, insn, memory);
  return 'next';
}

/** The fault of an MMX or SSE instruction for CR0 and CR4 as they are, if it has one (SDM vol. 3, 13.1.2 and table 12-1). */
export function raiseIfVectorsUnavailable(state: CpuState, insn: Insn): void {
  const sse = SSE_FROM_MEMORY.has(insn.op) || [insn.a, insn.b, insn.c].some(({ kind }) => kind === OPERAND.xmm);
  if ((state.cr0 & CR0.em) !== 0 || (sse && (state.cr4 & CR4.osfxsr) === 0)) state.raise(VECTOR.ud);
  if ((state.cr0 & CR0.ts) !== 0) state.raise(VECTOR.nm);
}

function stackIndex(operand: Operand): number {
  return operand.kind === OPERAND.st ? operand.reg : 0;
}

function withMemory(state: CpuState, unit: X87, insn: Insn, size: number): void {
  const stores = STORES.has(insn.op);
  const at = memoryOperand(state, insn, size, stores ? 'write' : 'read');
  if (stores) state.probeWrite(at, size);
  else loadOperand(state, at, size);
  const done = unit.execute(insn.op, 0, 0, size);
  if (stores && done !== NO_STORE) storeOperand(state, at, size);
}

function loadOperand(state: CpuState, at: bigint, size: number): void {
  state.setU64(SLOT.t1, state.read(at, size === 10 ? 8 : (size as 2 | 4 | 8)));
  state.setU64(SLOT.t2, size === 10 ? state.read(at + 8n, 2) : 0n);
}

function storeOperand(state: CpuState, at: bigint, size: number): void {
  state.write(at, size === 10 ? 8 : (size as 2 | 4 | 8), state.u64(SLOT.t1));
  if (size === 10) state.write(at + 8n, 2, state.u64(SLOT.t2));
}

/** FNSTENV, FLDENV, FNSAVE, FRSTOR. */
function moveImage(state: CpuState, fpu: X87, insn: Insn): Next {
  const format = { size: insn.opSize as 2 | 4 | 8, real: !state.isProtected || state.isVirtual8086 };
  const whole = insn.op === OP.fnsave || insn.op === OP.frstor;
  const size = environmentSize(format) + (whole ? 80 : 0);
  const image = new Uint8Array(size);
  const view = new DataView(image.buffer);
  const stores = STORES_IMAGE.has(insn.op);
  const at = memoryOperand(state, insn, size, stores ? 'write' : 'read');
  if (stores) {
    state.probeWrite(at, size);
    if (whole) fpu.save(view, format);
    else fpu.saveEnvironment(view, format);
    for (let i = 0; i < size; i++) state.write(at + BigInt(i), 1, BigInt(image[i]!));
  } else {
    for (let i = 0; i < size; i++) image[i] = Number(state.read(at + BigInt(i), 1));
    if (whole) fpu.restore(view, format);
    else fpu.loadEnvironment(view, format);
  }
  return 'next';
}

/** The instruction and operand that an exception handler will ask for. The opcode is not kept: nobody reads it. */
function notePointers(state: CpuState, insn: Insn, memory: Operand | undefined): void {
  state.setU64(CPU.x87Ip, state.rip);
  state.view.setUint16(state.block + CPU.x87Cs, state.is64BitCode ? 0 : state.selector(1), true);
  if (memory === undefined) return;
  state.setU64(
    CPU.x87Dp,
    memoryOperand(state, insn, memory.size, 'read') - (state.is64BitCode ? 0n : state.segmentBase(insn.seg)),
  );
  state.view.setUint16(state.block + CPU.x87Ds, state.is64BitCode ? 0 : state.selector(insn.seg), true);
}
