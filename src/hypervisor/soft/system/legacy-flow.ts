/** Near branches with 16-bit operands: RIP is cut to 16 bits and checked against the code segment. */
import { CS, FLAG, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { OP } from '../decode/opcodes.ts';
import type { CpuState } from './cpu-state.ts';
import { addressMask, nextRip } from './operands.ts';
import { addToAddress } from './ports.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RCX = 1;

/** Takes the branch to the instruction's displacement. */
function branchTarget(state: CpuState, insn: Insn): bigint {
  const target = BigInt.asUintN(insn.opSize * 8, nextRip(state, insn) + BigInt(insn.imm));
  if (!state.is64BitCode && target > BigInt(state.segmentLimit(CS))) state.raise(VECTOR.gp);
  return target;
}

/** Whether condition code `cc` holds (SDM vol. 2, B.1.4.7). */
function condition(flags: number, cc: number): boolean {
  const has = (bit: number) => (flags & bit) !== 0;
  const less = has(FLAG.sf) !== has(FLAG.of);
  const pairs = [
    has(FLAG.of),
    has(FLAG.cf),
    has(FLAG.zf),
    has(FLAG.cf) || has(FLAG.zf),
    has(FLAG.sf),
    has(FLAG.pf),
    less,
    less || has(FLAG.zf),
  ];
  return pairs[cc >> 1] !== ((cc & 1) === 1);
}

export function jcc({ state }: SystemCpu, insn: Insn): Next {
  if (!condition(state.rflags, insn.cc)) return 'next';
  state.rip = branchTarget(state, insn);
  return 'jump';
}

/** LOOP, LOOPE and LOOPNE count rCX of the address size down; JCXZ only looks at it. */
export function loop({ state }: SystemCpu, insn: Insn): Next {
  const mask = addressMask(insn.addrSize);
  const counts = insn.op !== OP.jcxz;
  const count = (state.reg(RCX) - (counts ? 1n : 0n)) & mask;
  const zf = (state.rflags & FLAG.zf) !== 0;
  const wanted = insn.op === OP.loope ? zf : insn.op === OP.loopne ? !zf : true;
  const taken = counts ? count !== 0n && wanted : count === 0n;
  const target = taken ? branchTarget(state, insn) : undefined;
  if (counts) addToAddress(state, RCX, -1, insn.addrSize);
  if (target === undefined) return 'next';
  state.rip = target;
  return 'jump';
}
