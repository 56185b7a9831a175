/** Transcendental instructions (Intel SDM vol. 1, 8.3.7 to 8.3.10): their way with the stack and the condition codes. */

import { denormalOperand } from './arithmetic.ts';
import type { Float80 } from './float80.ts';
import { INDEFINITE } from './float80.ts';
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

/** Executes a trigonometric instruction; `answer` gives its one result or two, the second to be pushed. */
function trigonometric(
  s: RegisterStack,
  pushes: boolean,
  answer: (angle: Angle, r: Rounding) => Float80[],
  same: (value: Float80) => Float80[],
): undefined {
  s.begin();
  const r = s.rounding;
  s.setCodes(s.status & (STATUS.c0 | STATUS.c3));
  if (s.underflows(0) || (pushes && s.overflows())) {
    finish(s, same(INDEFINITE));
    return;
  }
  const x = s.read(0);
  if (isTooLarge(x)) {
    s.setCodes((s.status & (STATUS.c0 | STATUS.c3)) | STATUS.c2);
    s.end();
    return;
  }
  const special = noAngle(r, x);
  if (special !== undefined) finish(s, same(special));
  else if (denormalOperand(r, x)) s.end();
  else finish(s, answer(angleOf(x), r));
}

function finish(s: RegisterStack, results: Float80[]): void {
  if (s.result(0, results[0]!) && results.length > 1) s.push(results[1]!);
  s.end();
}

export const TRANSCENDENTAL: Readonly<Record<string, Instruction>> = {
  fsin: (s) =>
    trigonometric(
      s,
      false,
      (angle, r) => [angle.sin(r)],
      (value) => [value],
    ),
  fcos: (s) =>
    trigonometric(
      s,
      false,
      (angle, r) => [angle.cos(r)],
      (value) => [value],
    ),
  fsincos: (s) =>
    trigonometric(
      s,
      true,
      (angle, r) => [angle.sin(r), angle.cos(r)],
      (value) => [value, value],
    ),
  fptan: (s) =>
    trigonometric(
      s,
      true,
      (angle, r) => [angle.tan(r), ONE_80],
      (value) => [value, value],
    ),
  fpatan: popping((r, st0, st1) => arcTangent(r, st1, st0)),
  f2xm1: unary(exp2Minus1),
  fyl2x: popping(yLog2),
  fyl2xp1: popping(yLog2Plus1),
};
