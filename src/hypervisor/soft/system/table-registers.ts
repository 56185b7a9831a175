/** GDTR, IDTR, LDTR and TR (Intel SDM vol. 2, LGDT, LLDT, LTR and their stores). */
import { LDTR, TR, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { CPU } from '../state.ts';
import { requirePrivilege0, requireProtected } from './checks.ts';
import type { CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  isCanonical,
  isNull,
  isPresent,
  readDescriptor,
  SYSTEM_TYPE,
  systemBase,
  systemType,
  writeAccessByte,
} from './descriptors.ts';
import { memoryOperand, readOperand, writeOperand } from './operands.ts';
import { setNullSegment } from './segments.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

function loadTable(baseField: number, limitField: number) {
  return ({ state }: SystemCpu, insn: Insn): Next => {
    requirePrivilege0(state);
    const wide = state.is64BitCode;
    const at = memoryOperand(state, insn, wide ? 10 : 6, 'read');
    const limit = Number(state.read(at, 2));
    let base = state.read(at + 2n, wide ? 8 : 4);
    if (!wide && insn.opSize === 2) base &= 0xff_ffffn;
    if (!isCanonical(base)) state.raise(VECTOR.gp);
    state.setU64(baseField, base);
    state.setU32(limitField, limit);
    return 'next';
  };
}

function storeTable(baseField: number, limitField: number) {
  return ({ state }: SystemCpu, insn: Insn): Next => {
    const wide = state.is64BitCode;
    const size = wide ? 10 : 6;
    const at = memoryOperand(state, insn, size, 'write');
    state.probeWrite(at, size);
    state.write(at, 2, BigInt(state.u32(limitField)));
    state.write(at + 2n, wide ? 8 : 4, state.u64(baseField));
    return 'next';
  };
}

export const lgdt = loadTable(CPU.gdtrBase, CPU.gdtrLimit);
export const lidt = loadTable(CPU.idtrBase, CPU.idtrLimit);
export const sgdt = storeTable(CPU.gdtrBase, CPU.gdtrLimit);
export const sidt = storeTable(CPU.idtrBase, CPU.idtrLimit);

export function sldt({ state }: SystemCpu, insn: Insn): Next {
  requireProtected(state);
  writeOperand(state, insn, insn.a, BigInt(state.selector(LDTR)));
  return 'next';
}

export function str({ state }: SystemCpu, insn: Insn): Next {
  requireProtected(state);
  writeOperand(state, insn, insn.a, BigInt(state.selector(TR)));
  return 'next';
}

export function lldt({ state }: SystemCpu, insn: Insn): Next {
  requireProtected(state);
  requirePrivilege0(state);
  const selector = Number(readOperand(state, insn, insn.a));
  if (isNull(selector)) {
    setNullSegment(state, LDTR, selector);
    return 'next';
  }
  const d = systemDescriptor(state, selector, (type) => type === SYSTEM_TYPE.ldt);
  state.setSegment(LDTR, selector, systemBase(state, d), d.limit, d.attributes);
  return 'next';
}

export function ltr({ state }: SystemCpu, insn: Insn): Next {
  requireProtected(state);
  requirePrivilege0(state);
  const selector = Number(readOperand(state, insn, insn.a));
  if (isNull(selector)) state.raise(VECTOR.gp);
  const isFree = (type: number) => type === SYSTEM_TYPE.tss || (type === SYSTEM_TYPE.tss16 && !state.isLongMode);
  const d = systemDescriptor(state, selector, isFree);
  const base = systemBase(state, d);
  const busy = d.attributes | 2;
  writeAccessByte(state, d, busy & 0xff);
  state.setSegment(TR, selector, base, d.limit, busy);
  return 'next';
}

/** A present system descriptor of the GDT whose type is accepted. */
function systemDescriptor(state: CpuState, selector: number, accepts: (type: number) => boolean): Descriptor {
  const error = selector & 0xfffc;
  if ((selector & 4) !== 0) state.raise(VECTOR.gp, error);
  const d = readDescriptor(state, selector);
  if (!accepts(systemType(d.attributes))) state.raise(VECTOR.gp, error);
  if (!isPresent(d.attributes)) state.raise(VECTOR.np, error);
  return d;
}
