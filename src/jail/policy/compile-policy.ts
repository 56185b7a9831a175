/** Compiles policies to the classic BPF that the kernel runs before each system call (linux/filter.h, linux/seccomp.h). */
import { CrosvmError } from '../../errors.ts';
import type { Action, Atom, Policy, Rule } from './policy.ts';

/** Instruction classes, sizes and conditions of linux/bpf_common.h, as far as they are needed. */
export const BPF_LD_W_ABS = 0x20;
export const BPF_JA = 0x05;
export const BPF_JEQ = 0x15;
export const BPF_JGT = 0x25;
export const BPF_JGE = 0x35;
export const BPF_JSET = 0x45;
export const BPF_RET = 0x06;

export const SECCOMP_RET_KILL_PROCESS = 0x8000_0000;
export const SECCOMP_RET_TRAP = 0x0003_0000;
export const SECCOMP_RET_ERRNO = 0x0005_0000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc0_0000;
export const SECCOMP_RET_LOG = 0x7ffc_0000;
export const SECCOMP_RET_ALLOW = 0x7fff_0000;

/** Offsets in struct seccomp_data: int nr, u32 arch, u64 instruction_pointer, u64 args[6]. */
const DATA_NR = 0;
const DATA_ARCH = 4;
const DATA_ARGS = 16;

export const AUDIT_ARCH_X86_64 = 0xc000_003e;
/** System calls of the x32 interface have this bit, and would not be what their number says. */
const X32_SYSCALL_BIT = 0x4000_0000;

const MAX_INSTRUCTIONS = 4096;
/** Conditional jumps go at most so far. */
const MAX_JUMP = 255;

/** struct sock_filter. */
export interface BpfInstruction {
  readonly code: number;
  /** How many instructions to skip if the condition is true, and if it is not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/**
 * What `kill` becomes: the kernel ends the process; or the call waits until who holds the filter's listener has ended it
 * and so knows why (SECCOMP_RET_USER_NOTIF); or it is just written to the kernel's log.
 */
export type Violation = 'kill' | 'notify' | 'log';

const VIOLATION: Readonly<Record<Violation, number>> = {
  kill: SECCOMP_RET_KILL_PROCESS,
  notify: SECCOMP_RET_USER_NOTIF,
  log: SECCOMP_RET_LOG,
};

/** Throws `E_SECCOMP_POLICY` for a policy that is too long for the kernel. */
export function compilePolicy({ rules, defaultAction }: Policy, violation: Violation): BpfInstruction[] {
  const value = (action: Action) => returnValue(action, violation);
  const bodies = [...rules].map(([syscall, rule]) => ({
    syscall,
    body: ruleBody(rule, value(rule.otherwise ?? defaultAction)),
  }));
  // What depends on arguments first: the kernel (5.11) knows by itself which calls are always allowed.
  bodies.sort((a, b) => b.body.length - a.body.length || a.syscall - b.syscall);
  const program = [
    load(DATA_ARCH),
    jump(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
    ret(SECCOMP_RET_KILL_PROCESS),
    load(DATA_NR),
    jump(BPF_JGE, X32_SYSCALL_BIT, 0, 1),
    ret(SECCOMP_RET_KILL_PROCESS),
    ...bodies.flatMap(({ syscall, body }) => [
      jump(BPF_JEQ, syscall, 1, 0),
      { code: BPF_JA, jt: 0, jf: 0, k: body.length },
      ...body,
    ]),
    ret(value(defaultAction)),
  ];
  if (program.length > MAX_INSTRUCTIONS) fail('the policy is too long for the kernel');
  return program;
}

function returnValue(action: Action, violation: Violation): number {
  switch (action.kind) {
    case 'allow':
      return SECCOMP_RET_ALLOW;
    case 'kill':
      return VIOLATION[violation];
    case 'log':
      return SECCOMP_RET_LOG;
    case 'trap':
      return SECCOMP_RET_TRAP;
    case 'errno':
      return SECCOMP_RET_ERRNO | action.errno;
  }
}

/** Always returns, so nothing has to be loaded again after it. */
function ruleBody({ allowedIf }: Rule, otherwise: number): BpfInstruction[] {
  const body: BpfInstruction[] = [];
  for (const atoms of allowedIf) {
    if (atoms.length === 0) return [...body, ret(SECCOMP_RET_ALLOW)];
    body.push(...alternative(atoms));
  }
  return [...body, ret(otherwise)];
}

/** Returns if all atoms are true, and falls through to what follows otherwise. */
function alternative(atoms: readonly Atom[]): BpfInstruction[] {
  let code = [ret(SECCOMP_RET_ALLOW)];
  // From the end, as an atom that is false jumps over all that follow.
  for (const atom of atoms.toReversed()) code = [...testAtom(atom, code.length), ...code];
  return code;
}

/** Goes on behind itself if the atom is true, and `skip` instructions further if not. The argument's halves are tested one by one. */
function testAtom({ argument, operator, value }: Atom, skip: number): BpfInstruction[] {
  const low = DATA_ARGS + 8 * argument;
  const [loadHigh, loadLow] = [load(low + 4), load(low)];
  const [h, l] = [Number(value >> 32n), Number(value & 0xffff_ffffn)];
  switch (operator) {
    case '==':
      return [loadHigh, jump(BPF_JEQ, h, 0, skip + 2), loadLow, jump(BPF_JEQ, l, 0, skip)];
    case '!=':
      return [loadHigh, jump(BPF_JEQ, h, 0, 2), loadLow, jump(BPF_JEQ, l, skip, 0)];
    case '>':
      return [loadHigh, jump(BPF_JGT, h, 3, 0), jump(BPF_JEQ, h, 0, skip + 2), loadLow, jump(BPF_JGT, l, 0, skip)];
    case '>=':
      return [loadHigh, jump(BPF_JGT, h, 3, 0), jump(BPF_JEQ, h, 0, skip + 2), loadLow, jump(BPF_JGE, l, 0, skip)];
    case '<':
      return [loadHigh, jump(BPF_JGT, h, skip + 3, 0), jump(BPF_JEQ, h, 0, 2), loadLow, jump(BPF_JGE, l, skip, 0)];
    case '<=':
      return [loadHigh, jump(BPF_JGT, h, skip + 3, 0), jump(BPF_JEQ, h, 0, 2), loadLow, jump(BPF_JGT, l, skip, 0)];
    case '&':
      return [loadHigh, jump(BPF_JSET, h, 2, 0), loadLow, jump(BPF_JSET, l, 0, skip)];
    case 'in':
      return [loadHigh, jump(BPF_JSET, ~h >>> 0, skip + 2, 0), loadLow, jump(BPF_JSET, ~l >>> 0, skip, 0)];
  }
}

function load(offset: number): BpfInstruction {
  return { code: BPF_LD_W_ABS, jt: 0, jf: 0, k: offset };
}

function jump(code: number, k: number, jt: number, jf: number): BpfInstruction {
  if (jt > MAX_JUMP || jf > MAX_JUMP) fail('too many comparisons are joined by "&&"');
  return { code, jt, jf, k };
}

function ret(value: number): BpfInstruction {
  return { code: BPF_RET, jt: 0, jf: 0, k: value };
}

/** The program as the kernel reads it: struct sock_filter is u16 code, u8 jt, u8 jf, u32 k. */
export function encodeProgram(program: readonly BpfInstruction[]): Uint8Array {
  const words = new Uint32Array(2 * program.length);
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    words[2 * i] = code | (jt << 16) | (jf << 24);
    words[2 * i + 1] = k;
  }
  return new Uint8Array(words.buffer);
}

function fail(message: string): never {
  throw new CrosvmError('E_SECCOMP_POLICY', message);
}
