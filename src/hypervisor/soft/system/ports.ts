/** IN, OUT, INS and OUTS with their permission (Intel SDM vol. 1, chapter 19). */
import { FLAG, TR, VECTOR } from '../architecture.ts';
import { type Insn, OPERAND, SEG } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import type { CpuState } from './cpu-state.ts';
import { isPresent } from './descriptors.ts';
import { addressMask, linearAddress, readOperand } from './operands.ts';
import type { Next, SystemCpu } from './system-cpu.ts';
import { isTss16 } from './tss.ts';

export type PortSize = 1 | 2 | 4;

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RSI = 6;
const RDI = 7;
/** Where a TSS has the offset of its I/O permission bitmap. */
const BITMAP_OFFSET = 102;
/** A repeated instruction lets interrupts in wherever its count is a multiple of this. */
const ELEMENTS_AT_ONCE = 1024n;

/** #GP unless IOPL or the bitmap of the TSS opens the ports. */
export function checkPort(state: CpuState, port: number, size: PortSize): void {
  if (!state.isProtected) return;
  if (!state.isVirtual8086 && state.cpl <= ((state.u32(CPU.eflags) >> 12) & 3)) return;
  const limit = state.segmentLimit(TR);
  if (!isPresent(state.segmentAttributes(TR)) || isTss16(state) || limit < BITMAP_OFFSET + 1) state.raise(VECTOR.gp);
  const base = state.segmentBase(TR);
  const bitmap = Number(state.asSupervisor(() => state.read(base + BigInt(BITMAP_OFFSET), 2)));
  const at = bitmap + (port >> 3);
  if (at + 1 > limit) state.raise(VECTOR.gp);
  const denied = Number(state.asSupervisor(() => state.read(base + BigInt(at), 2))) >> (port & 7);
  if ((denied & ((1 << size) - 1)) !== 0) state.raise(VECTOR.gp);
}

function portNumber(state: CpuState, insn: Insn, operand: Insn['a']): number {
  return operand.kind === OPERAND.imm ? insn.imm & 0xff : Number(readOperand(state, insn, operand));
}

export function portIn(cpu: SystemCpu, insn: Insn): Next {
  const size = insn.a.size as PortSize;
  const port = portNumber(cpu.state, insn, insn.b);
  checkPort(cpu.state, port, size);
  cpu.state.setReg(RAX, BigInt(cpu.portRead(port, size) >>> 0), size);
  return 'next';
}

export function portOut(cpu: SystemCpu, insn: Insn): Next {
  const size = insn.b.size as PortSize;
  const port = portNumber(cpu.state, insn, insn.a);
  checkPort(cpu.state, port, size);
  cpu.portWrite(port, size, Number(BigInt.asUintN(size * 8, cpu.state.reg(RAX))));
  return 'next';
}

/** A register of which only the bits of the address size count and change. */
export function addToAddress(state: CpuState, register: number, by: number, addrSize: number): void {
  const value = BigInt.asUintN(addrSize * 8, state.reg(register) + BigInt(by));
  state.setReg(register, value, addrSize as 2 | 4 | 8);
}

/**
 * Runs `element` once, or as often as a REP prefix says; it returns false to stop. A long repetition is left in between
 * with RIP at the instruction, so that interrupts get their turn; single-stepping sees every element.
 */
export function repeat(state: CpuState, insn: Insn, element: () => boolean): Next {
  if (insn.rep === 0) {
    element();
    return 'next';
  }
  const mask = addressMask(insn.addrSize);
  const atOnce = state.isTraced ? 1n : ELEMENTS_AT_ONCE;
  for (let done = 1; (state.reg(RCX) & mask) !== 0n; done++) {
    const goesOn = element();
    addToAddress(state, RCX, -1, insn.addrSize);
    const left = state.reg(RCX) & mask;
    if (!goesOn || left === 0n) return 'next';
    if (left % atOnce === 0n) {
      // Each element counts as an instruction, so that timers are looked at in time; the last one does already.
      state.setU32(CPU.budget, state.u32(CPU.budget) - (done - 1));
      return 'jump';
    }
  }
  return 'next';
}

/** +size or -size, by the direction flag. */
export function stringStep(state: CpuState, size: number): number {
  return (state.u32(CPU.eflags) & FLAG.df) !== 0 ? -size : size;
}

export function ins(cpu: SystemCpu, insn: Insn): Next {
  const { state } = cpu;
  const size = insn.opSize as PortSize;
  const port = Number(state.reg(RDX) & 0xffffn);
  const mask = addressMask(insn.addrSize);
  checkPort(state, port, size);
  return repeat(state, insn, () => {
    const at = linearAddress(state, SEG.es, state.reg(RDI) & mask, size, 'write');
    state.probeWrite(at, size);
    state.write(at, size, BigInt(cpu.portRead(port, size) >>> 0));
    addToAddress(state, RDI, stringStep(state, size), insn.addrSize);
    return true;
  });
}

export function outs(cpu: SystemCpu, insn: Insn): Next {
  const { state } = cpu;
  const size = insn.opSize as PortSize;
  const port = Number(state.reg(RDX) & 0xffffn);
  const mask = addressMask(insn.addrSize);
  checkPort(state, port, size);
  return repeat(state, insn, () => {
    const value = state.read(linearAddress(state, insn.seg, state.reg(RSI) & mask, size, 'read'), size);
    cpu.portWrite(port, size, Number(value));
    addToAddress(state, RSI, stringStep(state, size), insn.addrSize);
    return true;
  });
}
