/** What sequences cannot have, and why. */
import { type Insn, OPERAND } from '../../src/hypervisor/soft/decode/insn.ts';
import { OP, type OpName } from '../../src/hypervisor/soft/decode/opcodes.ts';

const REASONS: Readonly<Record<string, readonly OpName[]>> = {
  'its result is another one each time, or the host’s own': ['rdtsc', 'rdtscp', 'rdpmc', 'cpuid', 'rdrand'],
  'reads system tables, which the host has other ones of': [
    ...(['sgdt', 'sidt', 'sldt', 'str', 'smsw', 'lar', 'lsl', 'verr', 'verw', 'arpl'] as const),
    ...(['movToSeg', 'popSeg', 'les', 'lds', 'lss', 'lfs', 'lgs'] as const),
    ...(['callFar', 'jmpFar', 'callFarIndirect', 'jmpFarIndirect', 'retFar', 'iret'] as const),
  ],
  'approximates as each CPU model likes': ['rcpps', 'rcpss', 'rsqrtps', 'rsqrtss'],
  'enters the host’s kernel': ['syscall', 'sysenter', 'int', 'int1', 'int3', 'into', 'vmcall'],
};

const EXCLUDED = new Map(
  Object.entries(REASONS).flatMap(([why, ops]) => ops.map((op) => [op as string, why] as const)),
);

/** Why an operation is not tested here; undefined if it is. */
export function excluded(op: string): string | undefined {
  return EXCLUDED.get(op);
}

export function excludedOperations(): string[] {
  return [...EXCLUDED.keys()];
}

const REPEATED_MEANS_OTHER = new Set([OP.bsf, OP.bsr, OP.nop]);

/** Whether the host takes these bytes for another instruction than the software CPU, which has fewer extensions. */
export function hostDiffers(insn: Insn, bytes: Uint8Array): boolean {
  // F3 before BSF and BSR is TZCNT and LZCNT, before hint NOPs it is CET, CLDEMOTE and others.
  if (REPEATED_MEANS_OTHER.has(insn.op) && bytes.includes(0xf3)) return true;
  // AMD takes a repeat prefix of LOOPE and LOOPNE for the condition.
  if ((insn.op === OP.loope || insn.op === OP.loopne) && (bytes.includes(0xf2) || bytes.includes(0xf3))) return true;
  // FSTP in an encoding that nobody documents: on AMD an empty register is no exception.
  if (insn.op === OP.fstp && insn.a.kind === OPERAND.st && bytes.includes(0xd9)) return true;
  // What is left of 8087 and 287 instructions; unlike FNOP they do not wait for exceptions.
  if (insn.op === OP.fnop && bytes.includes(0xdb)) return true;
  // PREFETCH with a register is #UD on AMD and does nothing on Intel.
  if (insn.op === OP.nop && insn.a.kind !== OPERAND.mem && bytes.indexOf(0x0d) === bytes.indexOf(0x0f) + 1) return true;
  return false;
}

/** Near branches with an operand-size prefix have a 16-bit target on AMD, and not on Intel, in 64-bit mode. */
export function branchSizeDiffers(op: string): boolean {
  return /^(jcc|jmp|call|ret|loop|loope|loopne|jcxz|jmpIndirect|callIndirect)$/.test(op);
}

/** Instructions that store which x87 instruction was the last: CPU models do that in different cases. */
export function storesLastInstruction(op: string): boolean {
  return /^(fnstenv|fnsave|fxsave)$/.test(op);
}

/** Results that CPU models approximate: within a unit of the last place, and rounding is not told reliably. */
export function isTranscendental(op: string): boolean {
  return /^(f2xm1|fyl2x|fyl2xp1|fsin|fcos|fsincos|fptan|fpatan)$/.test(op);
}

/** Instructions that look at what x87 instructions left. */
export function usesX87(op: string): boolean {
  return op.startsWith('f');
}
