/** Comparison and classification (Intel SDM vol. 1, 8.3.6). */
import { COMPARED, compare } from './arithmetic.ts';
import { type Float80, KIND, kindOf, zero } from './float80.ts';
import { type Instruction, memoryFloat, memoryInteger, setFlags } from './instruction.ts';
import { type RegisterStack, STATUS } from './register-stack.ts';
import { STACK_FAULT } from './rounding.ts';

/** Compares ST(a) with the other operand: one of COMPARED; unordered on stack underflow. */
function compared(s: RegisterStack, a: number, quiet: boolean, emptyOther: boolean, other: () => Float80): number {
  if (s.underflows(a) || emptyOther) return COMPARED.unordered;
  return compare(s.rounding, s.read(a), other(), quiet);
}

interface Comparison {
  readonly pops: number;
  readonly quiet: boolean;
  readonly integer?: boolean;
}

/** Ends a comparison: pops, unless an unmasked exception forbids it. */
function finish(s: RegisterStack, pops: number): undefined {
  if (!s.rounding.refused) for (let n = 0; n < pops; n++) s.pop();
  s.end();
}

function compareRegisters(s: RegisterStack, a: number, b: number, quiet: boolean): number {
  return compared(s, a, quiet, s.underflows(b), () => s.read(b));
}

/** Comparisons that answer in the condition codes. */
function toCodes({ pops, quiet, integer = false }: Comparison): Instruction {
  return (s, a, b, size) => {
    s.begin();
    const source = integer ? memoryInteger : memoryFloat;
    if (size !== 0) s.setCodes(compared(s, 0, quiet, false, () => source(s, size)));
    else s.setCodes(pops === 2 ? compareRegisters(s, 0, 1, quiet) : compareRegisters(s, a, b, quiet));
    return finish(s, pops);
  };
}

/** Comparisons that answer in EFLAGS. */
function toFlags({ pops, quiet }: Comparison): Instruction {
  return (s, a, b) => {
    s.begin();
    const codes = compareRegisters(s, a, b, quiet);
    setFlags(s, (codes & STATUS.c3) !== 0, (codes & STATUS.c2) !== 0, (codes & STATUS.c0) !== 0);
    // Only a stack fault changes C1.
    s.rounding.roundedUp = (s.status & STATUS.c1) !== 0 && (s.rounding.flags & STACK_FAULT) === 0;
    return finish(s, pops);
  };
}

const ftst: Instruction = (s) => {
  s.begin();
  s.setCodes(compared(s, 0, false, false, () => zero(0)));
  return finish(s, 0);
};

/** C3, C2 and C0 of each class, by KIND. */
const CLASS_CODES: readonly number[] = (() => {
  const codes: number[] = [];
  codes[KIND.zero] = STATUS.c3;
  codes[KIND.denormal] = STATUS.c3 | STATUS.c2;
  codes[KIND.normal] = STATUS.c2;
  codes[KIND.infinity] = STATUS.c2 | STATUS.c0;
  codes[KIND.quiet] = STATUS.c0;
  codes[KIND.signaling] = STATUS.c0;
  codes[KIND.unsupported] = 0;
  return codes;
})();

const fxam: Instruction = (s) => {
  const x = s.read(0);
  const codes = s.isEmpty(0) ? STATUS.c3 | STATUS.c0 : CLASS_CODES[kindOf(x)]!;
  s.setCodes(codes | (x.sign !== 0 ? STATUS.c1 : 0));
  return undefined;
};

export const COMPARE: Readonly<Record<string, Instruction>> = {
  fcom: toCodes({ pops: 0, quiet: false }),
  fcomp: toCodes({ pops: 1, quiet: false }),
  fcompp: toCodes({ pops: 2, quiet: false }),
  fucom: toCodes({ pops: 0, quiet: true }),
  fucomp: toCodes({ pops: 1, quiet: true }),
  fucompp: toCodes({ pops: 2, quiet: true }),
  ficom: toCodes({ pops: 0, quiet: false, integer: true }),
  ficomp: toCodes({ pops: 1, quiet: false, integer: true }),
  fcomi: toFlags({ pops: 0, quiet: false }),
  fcomip: toFlags({ pops: 1, quiet: false }),
  fucomi: toFlags({ pops: 0, quiet: true }),
  fucomip: toFlags({ pops: 1, quiet: true }),
  ftst,
  fxam,
};
