/** Transcendental instructions (Intel SDM vol. 1, 8.3.7 to 8.3.10): their way with the stack and the condition codes. */

import { denormalOperand } from './arithmetic.ts';
import { type Float80, INDEFINITE } from './float80.ts';
import type { Instruction } from './instruction.ts';
import { unary } from './instructions-arithmetic.ts';
import { type RegisterStack, STATUS } from './register-stack.ts';
import type { Rounding } from './rounding.ts';
import {
  type Angle,
  angleOf,
  arcTangent,
  exp2Minus1,
  isTooLarge,
  noAngle,
  ONE_80,
  yLog2,
  yLog2Plus1,
} from './transcendental.ts';

/** A function of ST(0) and ST(1) that replaces both. */
function popping(operate: (r: Rounding, st0: Float80, st1: Float80) => Float80): Instruction {
  return (s) => {
    s.begin();
    const empty = s.underflows(0) || s.underflows(1);
    if (s.result(1, empty ? INDEFINITE : operate(s.rounding, s.read(0), s.read(1)))) s.pop();
    s.end();
    return undefined;
  };
}

/** A trigonometric function of ST(0). `answer` gives what replaces it and, if the instruction pushes, what it pushes. */
function trigonometric(pushes: boolean, answer: (angle: Angle, r: Rounding) => Float80[]): Instruction {
  const same = (value: Float80): Float80[] => (pushes ? [value, value] : [value]);
  return (s) => {
    s.begin();
    s.status &= ~STATUS.c2;
    const x = s.read(0);
    const fault = s.underflows(0) || (pushes && s.overflows());
    if (!fault && isTooLarge(x)) {
      s.status |= STATUS.c2;
    } else {
      const special = fault ? INDEFINITE : noAngle(s.rounding, x);
      if (special !== undefined) replace(s, same(special));
      else if (!denormalOperand(s.rounding, x)) replace(s, answer(angleOf(x), s.rounding));
    }
    s.end();
    return undefined;
  };
}

/** Replaces ST(0) by the first result and pushes the second, unless an unmasked exception forbids it. */
function replace(s: RegisterStack, results: Float80[]): void {
  if (s.result(0, results[0]!) && results.length > 1) s.push(results[1]!);
}

export const TRANSCENDENTAL: Readonly<Record<string, Instruction>> = {
  fsin: trigonometric(false, (angle, r) => [angle.sin(r)]),
  fcos: trigonometric(false, (angle, r) => [angle.cos(r)]),
  fsincos: trigonometric(true, (angle, r) => [angle.sin(r), angle.cos(r)]),
  fptan: trigonometric(true, (angle, r) => [angle.tan(r), ONE_80]),
  fpatan: popping((r, st0, st1) => arcTangent(r, st1, st0)),
  f2xm1: unary(exp2Minus1),
  fyl2x: popping(yLog2),
  fyl2xp1: popping(yLog2Plus1),
};
