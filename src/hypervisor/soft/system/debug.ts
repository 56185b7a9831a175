/**
 * Debug registers, single steps and instruction breakpoints (Intel SDM vol. 3, chapter 17). Data breakpoints are kept,
 * not watched.
 */
import { CR4, CS, FLAG, VECTOR } from '../architecture.ts';
import type { Insn } from '../decode/insn.ts';
import { OP } from '../decode/opcodes.ts';
import { CPU } from '../state.ts';
import { requirePrivilege0 } from './checks.ts';
import type { AccessSize, CpuState } from './cpu-state.ts';
import { deliver } from './exceptions.ts';
import { readOperand } from './operands.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const DR6_FIXED = 0xffff_0ff0;
const DR6_WRITABLE = 0xe00f;
const DR6_BD = 1 << 13;
const DR6_BS = 1 << 14;
const DR7_FIXED = 0x400;
const DR7_WRITABLE = 0xffff_23ff;
const DR7_GD = 1 << 13;

/** The register that a number means: DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE takes them away. */
function debugRegister(state: CpuState, number: number): number {
  if (number === 4 || number === 5) {
    if ((state.cr4 & CR4.de) !== 0) state.raise(VECTOR.ud);
    return number + 2;
  }
  return number;
}

function fieldOf(register: number): number {
  if (register === 6) return CPU.dr6;
  return register === 7 ? CPU.dr7 : CPU.dr + register * 8;
}

function checkAccess(state: CpuState, number: number): number {
  const register = debugRegister(state, number);
  requirePrivilege0(state);
  if ((state.u64(CPU.dr7) & BigInt(DR7_GD)) !== 0n) {
    state.setU64(CPU.dr6, state.u64(CPU.dr6) | BigInt(DR6_BD));
    state.raise(VECTOR.db);
  }
  return register;
}

export function movToDr({ state }: SystemCpu, insn: Insn): Next {
  const register = checkAccess(state, insn.a.reg);
  const value = readOperand(state, insn, insn.b);
  if (register < 4) {
    state.setU64(CPU.dr + register * 8, value);
    return 'next';
  }
  if (value >> 32n !== 0n) state.raise(VECTOR.gp);
  const [writable, fixed] = register === 6 ? [DR6_WRITABLE, DR6_FIXED] : [DR7_WRITABLE, DR7_FIXED];
  state.setU64(fieldOf(register), (value & BigInt(writable)) | BigInt(fixed));
  state.updateMode();
  return 'next';
}

export function movFromDr({ state }: SystemCpu, insn: Insn): Next {
  const register = checkAccess(state, insn.b.reg);
  state.setReg(insn.a.reg, state.u64(fieldOf(register)), insn.a.size as AccessSize);
  return 'next';
}

/**
 * Whether an instruction breakpoint stands at RIP; DR6 says which then. The caller delivers #DB as a fault. To be asked
 * before each instruction in MODE.step.
 */
export function codeBreakpoint({ state }: SystemCpu): boolean {
  const dr7 = state.u32(CPU.dr7);
  if ((dr7 & 0xff) === 0 || (state.u32(CPU.eflags) & FLAG.rf) !== 0) return false;
  const linear = state.is64BitCode ? state.rip : (state.rip + state.segmentBase(CS)) & 0xffff_ffffn;
  let hit = 0;
  for (let n = 0; n < 4; n++) {
    const enabled = (dr7 >> (n * 2)) & 3;
    const kind = (dr7 >> (16 + n * 4)) & 15;
    if (enabled !== 0 && kind === 0 && state.u64(CPU.dr + n * 8) === linear) hit |= 1 << n;
  }
  if (hit !== 0) state.setU64(CPU.dr6, (state.u64(CPU.dr6) & ~15n) | BigInt(hit));
  return hit !== 0;
}

/** After these there is no single-step trap if they cleared TF. */
const ENTERS_HANDLER: readonly number[] = [OP.int, OP.int3, OP.int1, OP.into, OP.syscall];

/**
 * To be called after each instruction in MODE.step that did not fault, with RIP behind it; `flagsBefore` is CPU.eflags as
 * it was before. Ends the effect of RF, and delivers the single-step trap if TF was set.
 */
export function afterStep(cpu: SystemCpu, insn: Insn, flagsBefore: number): Next | undefined {
  const { state } = cpu;
  const flags = state.u32(CPU.eflags);
  if (insn.op !== OP.iret && (flags & FLAG.rf) !== 0) state.setU32(CPU.eflags, flags & ~FLAG.rf);
  if ((flagsBefore & FLAG.tf) === 0) return undefined;
  if ((flags & FLAG.tf) === 0 && ENTERS_HANDLER.includes(insn.op)) return undefined;
  state.setU64(CPU.dr6, state.u64(CPU.dr6) | BigInt(DR6_BS));
  return deliver(cpu, { vector: VECTOR.db, kind: 'trap' });
}
