/** Loads, stores, moves and constants (Intel SDM vol. 1, 8.3.3 and 8.3.4). */
import { fromPacked, toPacked } from './bcd.ts';
import { toFloat, toInteger } from './convert.ts';
import { FRACTION, LN2, LOG2_10, LOG2_E, LOG10_2, PI } from './fixed-point.ts';
import { exactly, type Float80, INDEFINITE, KIND, kindOf, quieted, zero } from './float80.ts';
import { EXCEPTION, EXTENDED80, ROUND } from './ieee.ts';
import {
  carryFlag,
  type Instruction,
  memoryBits,
  memoryExtended,
  memoryFloat,
  memoryHigh,
  memoryInteger,
  NO_STORE,
  parityFlag,
  toMemory,
  zeroFlag,
} from './instruction.ts';
import type { RegisterStack } from './register-stack.ts';
import { toRegister } from './rounding.ts';

function push(value: (s: RegisterStack, size: number) => Float80): Instruction {
  return (s, _a, _b, size) => {
    s.begin();
    s.pushResult(() => value(s, size));
    s.end();
    return undefined;
  };
}

/** FLD of a single or double, which converts: a signaling NaN or a denormal is an exception. */
function converted(s: RegisterStack, size: number): Float80 {
  const value = memoryFloat(s, size);
  if (s.rounding.denormalSource) s.rounding.raise(EXCEPTION.denormal);
  return kindOf(value) === KIND.signaling ? s.rounding.invalid(quieted(value)) : value;
}

const fld: Instruction = (s, a, _b, size) => {
  s.begin();
  if (size === 0 && s.underflows(a)) {
    if (!s.rounding.refused) s.push(INDEFINITE);
  } else {
    s.pushResult(() => (size === 0 ? s.read(a) : size === 10 ? memoryExtended(s) : converted(s, size)));
  }
  s.end();
  return undefined;
};

/** A constant; it is rounded by the rounding mode, and that raises nothing. */
function constant(value: bigint): Instruction {
  return push((s) => {
    const { rounding } = s;
    const { flags } = rounding;
    const result = toRegister(rounding, 0, value, -FRACTION, EXTENDED80.significandBits);
    rounding.flags = flags;
    rounding.roundedUp = false;
    return result;
  });
}

function storeRegister(s: RegisterStack, target: number): boolean {
  return s.result(target, s.underflows(0) ? INDEFINITE : s.read(0));
}

/** Ends an instruction that stores to memory: pops and leaves the result, unless an exception forbids it. */
function finishStore(s: RegisterStack, pop: boolean, low: bigint, high: number): number | undefined {
  const refused = s.rounding.storeRefused;
  if (!refused) {
    toMemory(s, low, high);
    if (pop) s.pop();
  }
  s.end();
  return refused ? NO_STORE : undefined;
}

function store(pop: boolean): Instruction {
  return (s, a, _b, size) => {
    s.begin();
    if (size === 0) {
      if (storeRegister(s, a) && pop) s.pop();
      s.end();
      return undefined;
    }
    const value = s.underflows(0) ? INDEFINITE : s.read(0);
    if (size === 10) return finishStore(s, pop, value.significand, (value.sign << 15) | value.exponent);
    return finishStore(s, pop, toFloat(s.rounding, value, size), 0);
  };
}

function storeInteger(pop: boolean, truncate: boolean): Instruction {
  return (s, _a, _b, size) => {
    s.begin();
    if (truncate) s.rounding.rounding = ROUND.zero;
    const value = s.underflows(0) ? INDEFINITE : s.read(0);
    return finishStore(s, pop, toInteger(s.rounding, value, size), 0);
  };
}

const fbstp: Instruction = (s) => {
  s.begin();
  const packed = toPacked(s.rounding, s.underflows(0) ? INDEFINITE : s.read(0));
  return finishStore(s, true, packed.low, packed.high);
};

const fxch: Instruction = (s, a, b) => {
  s.begin();
  const x = s.underflows(a) ? INDEFINITE : s.read(a);
  const y = s.underflows(b) ? INDEFINITE : s.read(b);
  if (s.result(a, y)) s.write(b, x);
  s.end();
  return undefined;
};

/** FCMOVcc: an empty register is a fault whether or not the condition holds. */
function move(condition: (s: RegisterStack) => boolean, holds: boolean): Instruction {
  return (s, a, b) => {
    s.begin();
    if (s.underflows(a) || s.underflows(b)) s.result(a, INDEFINITE);
    else if (condition(s) === holds) s.write(a, s.read(b));
    // Only a fault changes C1.
    if (s.rounding.flags !== 0) s.end();
    return undefined;
  };
}

const carryOrZero = (s: RegisterStack): boolean => carryFlag(s) || zeroFlag(s);

export const TRANSFER: Readonly<Record<string, Instruction>> = {
  fld,
  fild: push(memoryInteger),
  fbld: push((s) => fromPacked({ low: memoryBits(s), high: memoryHigh(s) })),
  fst: store(false),
  fstp: store(true),
  fist: storeInteger(false, false),
  fistp: storeInteger(true, false),
  fisttp: storeInteger(true, true),
  fbstp,
  fxch,
  fcmovb: move(carryFlag, true),
  fcmove: move(zeroFlag, true),
  fcmovbe: move(carryOrZero, true),
  fcmovu: move(parityFlag, true),
  fcmovnb: move(carryFlag, false),
  fcmovne: move(zeroFlag, false),
  fcmovnbe: move(carryOrZero, false),
  fcmovnu: move(parityFlag, false),
  fldz: push(() => zero(0)),
  fld1: push(() => exactly(0, 1n, 0)),
  fldl2t: constant(LOG2_10),
  fldl2e: constant(LOG2_E),
  fldpi: constant(PI),
  fldlg2: constant(LOG10_2),
  fldln2: constant(LN2),
};
