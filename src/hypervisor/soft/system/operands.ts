/** Operands of an instruction that TypeScript executes: registers, memory with all segment checks, and immediates. */
import { ATTR, VECTOR } from '../architecture.ts';
import { type Insn, NO_REGISTER, OPERAND, type Operand, RIP, SEG } from '../decode/insn.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { isCanonical, isPresent, isReadable, isWritable } from './descriptors.ts';

export type Access = 'read' | 'write';

/** RIP behind the instruction. */
export function nextRip(state: CpuState, insn: Insn): bigint {
  return BigInt.asUintN(state.is64BitCode ? 64 : 32, state.rip + BigInt(insn.length));
}

export function addressMask(size: number): bigint {
  return (1n << BigInt(size * 8)) - 1n;
}

/** base + index * scale + displacement, cut to the address size. */
export function effectiveOffset(state: CpuState, insn: Insn): bigint {
  let offset = (BigInt(insn.addrSize === 8 ? insn.dispHigh : insn.disp >> 31) << 32n) | BigInt(insn.disp >>> 0);
  if (insn.base === RIP) offset += nextRip(state, insn);
  else if (insn.base !== NO_REGISTER) offset += state.reg(insn.base);
  if (insn.index !== NO_REGISTER) offset += state.reg(insn.index) << BigInt(insn.scale);
  return offset & addressMask(insn.addrSize);
}

/** Linear address of `size` bytes at `offset` of a segment (SEG), or the fault of such an access. */
export function linearAddress(state: CpuState, segment: number, offset: bigint, size: number, access: Access): bigint {
  const vector = segment === SEG.ss ? VECTOR.ss : VECTOR.gp;
  if (state.is64BitCode) {
    const base = segment >= SEG.fs ? state.segmentBase(segment) : 0n;
    const linear = BigInt.asUintN(64, base + offset);
    if (!isCanonical(linear) || !isCanonical(linear + BigInt(size - 1))) state.raise(vector);
    return linear;
  }
  const attributes = state.segmentAttributes(segment);
  const allowed = access === 'write' ? isWritable(attributes) || !state.isProtected : isReadable(attributes);
  const inside = isWithin(offset, size, state.segmentLimit(segment), attributes);
  if (!isPresent(attributes) || !allowed || !inside) state.raise(vector);
  return (state.segmentBase(segment) + offset) & 0xffff_ffffn;
}

/** Whether [offset, offset + size) is within a segment's limit (SDM vol. 3, 5.3). */
export function isWithin(offset: bigint, size: number, limit: number, attributes: number): boolean {
  const first = Number(offset);
  const last = first + size - 1;
  const expandDown = (attributes & 0x1c) === 0x14;
  if (!expandDown) return last <= limit;
  return first > limit && last <= ((attributes & ATTR.db) !== 0 ? 0xffff_ffff : 0xffff);
}

/** Linear address of the instruction's memory operand, of `size` bytes. */
export function memoryOperand(state: CpuState, insn: Insn, size: number, access: Access): bigint {
  return linearAddress(state, insn.seg, effectiveOffset(state, insn), size, access);
}

/** Reads a register, memory or immediate operand of 1, 2, 4 or 8 bytes, zero-extended. */
export function readOperand(state: CpuState, insn: Insn, operand: Operand): bigint {
  const size = operand.size as AccessSize;
  switch (operand.kind) {
    case OPERAND.gpr:
      if (operand.reg >= 16) return (state.reg(operand.reg - 16) >> 8n) & 0xffn;
      return BigInt.asUintN(size * 8, state.reg(operand.reg));
    case OPERAND.mem:
      return state.read(memoryOperand(state, insn, size, 'read'), size);
    default:
      return BigInt.asUintN(size * 8, (BigInt(insn.immHigh) << 32n) | BigInt(insn.imm >>> 0));
  }
}

/** Writes a register or memory operand. */
export function writeOperand(state: CpuState, insn: Insn, operand: Operand, value: bigint): void {
  const size = operand.size as AccessSize;
  if (operand.kind === OPERAND.mem) {
    state.write(memoryOperand(state, insn, size, 'write'), size, value);
  } else if (operand.reg >= 16) {
    const n = operand.reg - 16;
    state.setReg(n, (state.reg(n) & ~0xff00n) | ((value & 0xffn) << 8n));
  } else {
    state.setReg(operand.reg, value, size);
  }
}
