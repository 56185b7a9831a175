/** LAR, LSL, VERR, VERW and ARPL: what a program may ask about selectors (Intel SDM vol. 3, 5.10). */
import type { Insn } from '../decode/insn.ts';
import { requireProtected } from './checks.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import {
  type Descriptor,
  dplOf,
  findDescriptor,
  isConforming,
  isNull,
  isReadable,
  isWritable,
  systemType,
  SYSTEM_TYPE as T,
} from './descriptors.ts';
import { setZeroFlag } from './flags.ts';
import { readOperand, writeOperand } from './operands.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const LAR_TYPES = {
  legacy: [T.tss16, T.ldt, T.busyTss16, T.callGate16, T.taskGate, T.tss, T.busyTss, T.callGate] as number[],
  long: [T.ldt, T.tss, T.busyTss, T.callGate] as number[],
};
const LSL_TYPES = {
  legacy: [T.tss16, T.ldt, T.busyTss16, T.tss, T.busyTss] as number[],
  long: [T.ldt, T.tss, T.busyTss] as number[],
};

/** The descriptor, if there is one that code at the current privilege may look at. */
function visible(state: CpuState, selector: number): Descriptor | undefined {
  if (isNull(selector)) return undefined;
  const d = findDescriptor(state, selector);
  if (d === undefined || isConforming(d.attributes)) return d;
  return Math.max(state.cpl, selector & 3) > dplOf(d.attributes) ? undefined : d;
}

function query(types: typeof LAR_TYPES, value: (d: Descriptor) => bigint) {
  return ({ state }: SystemCpu, insn: Insn): Next => {
    requireProtected(state);
    const d = visible(state, Number(readOperand(state, insn, insn.b)));
    const type = d === undefined ? 0 : systemType(d.attributes);
    const found = d !== undefined && (type < 0 || types[state.isLongMode ? 'long' : 'legacy'].includes(type));
    if (found) state.setReg(insn.a.reg, value(d), insn.a.size as AccessSize);
    setZeroFlag(state, found);
    return 'next';
  };
}

export const lar = query(LAR_TYPES, (d) => (d.raw >> 32n) & 0xff_ff00n);
export const lsl = query(LSL_TYPES, (d) => BigInt(d.limit));

function verify(accepts: (attributes: number) => boolean) {
  return ({ state }: SystemCpu, insn: Insn): Next => {
    requireProtected(state);
    const d = visible(state, Number(readOperand(state, insn, insn.a)));
    setZeroFlag(state, d !== undefined && accepts(d.attributes));
    return 'next';
  };
}

export const verr = verify(isReadable);
export const verw = verify(isWritable);

export function arpl({ state }: SystemCpu, insn: Insn): Next {
  requireProtected(state);
  const selector = readOperand(state, insn, insn.a);
  const rpl = readOperand(state, insn, insn.b) & 3n;
  const raised = (selector & 3n) < rpl;
  if (raised) writeOperand(state, insn, insn.a, (selector & ~3n) | rpl);
  setZeroFlag(state, raised);
  return 'next';
}
