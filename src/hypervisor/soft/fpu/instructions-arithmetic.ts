/** Basic arithmetic instructions (Intel SDM vol. 1, 8.3.5 and 8.3.6). */
import {
  add,
  denormalOperand,
  divide,
  multiply,
  nanAnswer1,
  roundToInteger,
  scale,
  squareRoot,
  subtract,
} from './arithmetic.ts';
import { BIAS, exactly, Float80, INDEFINITE, infinity, KIND, kindOf, negated, placeOf } from './float80.ts';
import { bitLength, EXCEPTION } from './ieee.ts';
import { type Instruction, memoryFloat, memoryInteger } from './instruction.ts';
import { type RegisterStack, STATUS } from './register-stack.ts';
import { remainder } from './remainder.ts';
import type { Rounding } from './rounding.ts';

type Binary = (r: Rounding, x: Float80, y: Float80) => Float80;
type Source = (s: RegisterStack, size: number) => Float80;

/** The result of an operation with ST(a) and a memory operand or ST(b); the indefinite on stack underflow. */
function binaryResult(s: RegisterStack, operate: Binary, a: number, b: number, size: number, source: Source): Float80 {
  if (s.underflows(a) || (size === 0 && s.underflows(b))) return INDEFINITE;
  return operate(s.rounding, s.read(a), size === 0 ? s.read(b) : source(s, size));
}

function binary(operate: Binary, source: Source = memoryFloat): Instruction {
  return (s, a, b, size) => {
    const target = size === 0 ? a : 0;
    s.begin();
    s.result(target, binaryResult(s, operate, target, b, size, source));
    s.end();
    return undefined;
  };
}

function binaryPop(operate: Binary): Instruction {
  return (s, a, b) => {
    s.begin();
    if (s.result(a, binaryResult(s, operate, a, b, 0, memoryFloat))) s.pop();
    s.end();
    return undefined;
  };
}

function reversed(operate: Binary): Binary {
  return (r, x, y) => operate(r, y, x);
}

/** fNAME, fNAMEp and fiNAME. */
function family(name: string, operate: Binary): Record<string, Instruction> {
  return {
    [`f${name}`]: binary(operate),
    [`f${name}p`]: binaryPop(operate),
    [`fi${name}`]: binary(operate, memoryInteger),
  };
}

/** An instruction that replaces ST(0) by a function of it. */
export function unary(operate: (r: Rounding, x: Float80) => Float80): Instruction {
  return (s) => {
    s.begin();
    s.result(0, s.underflows(0) ? INDEFINITE : operate(s.rounding, s.read(0)));
    s.end();
    return undefined;
  };
}

function withSign(x: Float80, sign: number): Float80 {
  return new Float80(sign, x.exponent, x.significand);
}

/** Bits 2, 1 and 0 of a quotient are C0, C3 and C1. */
function setQuotient(s: RegisterStack, quotient: number, partial: boolean): void {
  const c0 = (quotient & 4) !== 0 ? STATUS.c0 : 0;
  const c3 = (quotient & 2) !== 0 ? STATUS.c3 : 0;
  s.setCodes(c0 | c3 | (partial ? STATUS.c2 : 0));
  s.rounding.roundedUp = (quotient & 1) !== 0;
}

function remainderInstruction(nearest: boolean): Instruction {
  return (s) => {
    s.begin();
    s.status &= ~STATUS.c2;
    if (s.underflows(0) || s.underflows(1)) {
      s.result(0, INDEFINITE);
    } else {
      const { value, quotient, partial } = remainder(s.rounding, s.read(0), s.read(1), nearest);
      // Without a quotient the codes for its bits stay.
      if (s.result(0, value) && quotient !== undefined) setQuotient(s, quotient, partial);
    }
    s.end();
    return undefined;
  };
}

/** Splits a value into its exponent, as a number, and its significand with the exponent of 1. */
function extract(r: Rounding, x: Float80): { exponent: Float80; significand: Float80 } {
  const nan = nanAnswer1(r, x);
  if (nan !== undefined) return { exponent: nan, significand: nan };
  const kind = kindOf(x);
  if (kind === KIND.infinity) return { exponent: infinity(0), significand: x };
  if (kind === KIND.zero) {
    r.raise(EXCEPTION.divideByZero);
    return { exponent: infinity(1), significand: x };
  }
  denormalOperand(r, x);
  const length = bitLength(x.significand);
  const exponent = placeOf(x) + length - 1;
  return {
    exponent: exactly(exponent < 0 ? 1 : 0, BigInt(Math.abs(exponent)), 0),
    significand: new Float80(x.sign, BIAS, x.significand << BigInt(64 - length)),
  };
}

const fxtract: Instruction = (s) => {
  s.begin();
  const fault = s.underflows(0) || s.overflows();
  const parts = fault ? { exponent: INDEFINITE, significand: INDEFINITE } : extract(s.rounding, s.read(0));
  if (s.result(0, parts.exponent)) s.push(parts.significand);
  s.end();
  return undefined;
};

export const ARITHMETIC: Readonly<Record<string, Instruction>> = {
  ...family('add', add),
  ...family('sub', subtract),
  ...family('subr', reversed(subtract)),
  ...family('mul', multiply),
  ...family('div', divide),
  ...family('divr', reversed(divide)),
  fsqrt: unary(squareRoot),
  fabs: unary((_, x) => withSign(x, 0)),
  fchs: unary((_, x) => negated(x)),
  frndint: unary(roundToInteger),
  fscale: (s) => {
    s.begin();
    s.result(0, binaryResult(s, scale, 0, 1, 0, memoryFloat));
    s.end();
    return undefined;
  },
  fprem: remainderInstruction(false),
  fprem1: remainderInstruction(true),
  fxtract,
};
