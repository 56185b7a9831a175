/** System instructions that are micro-operations in 64-bit mode; in the other modes TypeScript executes them. */
import { OPERAND, type Operand, SEG } from '../decode/insn.ts';
import type { OpName } from '../decode/opcodes.ts';

import { SLOT } from '../state.ts';
import type { Lowering } from './lowering.ts';
import { lowerToCallout, type Rule, rule } from './rules.ts';

const CONTROL_REGISTERS: readonly number[] = [0, 2, 3, 4];

/** `lower` gives false for what TypeScript executes. */
function rule64(names: readonly OpName[], lower: (l: Lowering, name: OpName) => boolean): void {
  const define = (name: OpName): Rule => {
    return (l) => {
      if (!l.is64 || !lower(l, name)) lowerToCallout(l);
    };
  };
  rule(names, define);
}

function isRegister(operand: Operand): boolean {
  return operand.kind === OPERAND.gpr;
}

export function defineSystemRules(): void {
  rule64(['syscall'], (l) => branch(l, 'syscall'));
  rule64(['sysret', 'iret'], (l, name) => l.insn.opSize === 8 && branch(l, name));
  rule64(['wrmsr'], (l) => branch(l, 'wrmsr'));
  rule64(['rdmsr', 'swapgs'], (l, name) => straight(l, name));
  rule64(['rdtscp'], (l) => !l.exactTime && straight(l, 'rdtscp'));
  rule64(['movFromCr'], (l) => {
    const { a, b } = l.insn;
    return CONTROL_REGISTERS.includes(b.reg) && straight(l, `mov.fromCr${b.reg}`, { a: l.slot(a) });
  });
  rule64(['movToCr'], (l) => {
    const { a, b } = l.insn;
    if (a.reg === 2) return straight(l, 'mov.toCr2', { b: l.slot(b) });
    if (a.reg !== 3) return false;
    l.emit('mov.8.rr', { a: SLOT.t1, b: l.slot(b) });
    return branch(l, 'mov.toCr3');
  });
  rule64(['invlpg'], (l) => {
    l.pinnedAddress(1, false);
    return branch(l, 'invlpg');
  });
  rule64(['movFromSeg'], (l) => {
    const { a, b } = l.insn;
    const size = Math.min(a.size, 4); // 32 bits clear the upper half
    return isRegister(a) && straight(l, `mov.fromSegment${b.reg}.${size}`, { a: l.slot(a) });
  });
  rule64(['movToSeg'], (l) => {
    const { a, b } = l.insn;
    return a.reg !== SEG.ss && isRegister(b) && straight(l, `mov.toSegment${a.reg}`, { b: l.slot(b) });
  });
  rule64(['verw'], (l) => straight(l, 'verw', { b: l.source(l.insn.a) }));
  rule64(['cmpxchg16b'], (l) => straight(l, 'cmpxchg16b', l.pinnedAddress(16, true)));
}

function straight(l: Lowering, op: string, fields: Parameters<Lowering['emit']>[1] = {}): boolean {
  l.emit(op, fields);
  return true;
}

function branch(l: Lowering, op: string): boolean {
  l.emitBranch(op, true);
  return true;
}
