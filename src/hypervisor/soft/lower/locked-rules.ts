/** How instructions become micro-operations that access memory atomically, for VMs with several vCPUs. */
import { OPERAND } from '../decode/insn.ts';
import { OP, OPS, type OpName } from '../decode/opcodes.ts';
import { type Address, AT_EA, type Lowering } from './lowering.ts';
import { type Rule, rules } from './rules.ts';

/** For each semantic operation that LOCK may stand before. */
const RULES: (Rule | undefined)[] = OPS.map(() => undefined);

function rule(names: readonly OpName[], define: (name: OpName) => Rule): void {
  for (const name of names) RULES[OP[name]] = define(name);
}

/** XCHG with memory is always atomic. */
function isLocked({ insn }: Lowering): boolean {
  return insn.lock || (insn.op === OP.xchg && insn.a.kind === OPERAND.mem);
}

/** The rule for the instruction just decoded: one that is atomic, where it has to be and others could see it. */
export function ruleFor(l: Lowering): Rule | undefined {
  return (l.shared && isLocked(l) ? RULES : rules)[l.insn.op];
}

rule(['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor'], (name) => (l) => {
  withRightOperand(l, name, l.address(l.insn.a.size, true));
});
rule(['bts', 'btr', 'btc'], (name) => (l) => {
  const { a, b } = l.insn;
  if (b.kind === OPERAND.imm) {
    withRightOperand(l, name, l.address(a.size, true));
    return;
  }
  l.emit(`ea.bit.${a.size}`, { ...l.plainAddress(), b: l.slot(b) });
  withRightOperand(l, name, l.address(a.size, true, AT_EA));
});
rule(['inc', 'dec', 'neg', 'not'], (name) => (l) => {
  const { size } = l.insn.a;
  l.emit(`lock.${name}.${size}`, l.address(size, true));
});
rule(['xadd', 'xchg', 'cmpxchg'], (name) => (l) => {
  const { a, b } = l.insn;
  l.emit(`lock.${name}.${a.size}`, { ...l.address(a.size, true), b: l.slot(b) });
});
rule(['cmpxchg8b'], () => (l) => l.emit('lock.cmpxchg8b', l.address(8, true)));

function withRightOperand(l: Lowering, name: string, address: Address): void {
  const { a, b, imm } = l.insn;
  const op = `lock.${name}.${a.size}`;
  if (b.kind === OPERAND.imm) l.emit(`${op}.i`, { ...address, imm });
  else l.emit(`${op}.r`, { ...address, b: l.slot(b) });
}
