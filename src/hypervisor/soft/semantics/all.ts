/** Every micro-operation that the CPU has. */
import { defineArithmetic } from './arithmetic.ts';
import { defineBits } from './bits.ts';
import { defineBranches } from './branch.ts';
import type { MicroOps } from './emit.ts';
import { defineLocked } from './locked.ts';
import { defineMoves } from './move.ts';
import { defineMultiply } from './multiply.ts';
import { defineShifts } from './shift.ts';
import { defineStack } from './stack.ts';
import { defineStrings } from './string.ts';
import { defineSystem } from './system.ts';
import { defineSystemCalls } from './system-calls.ts';
import { defineSystemRegisters } from './system-registers.ts';
import { defineVectorMemory } from './vector-memory.ts';

export function defineAll(ops: MicroOps): void {
  defineArithmetic(ops);
  defineShifts(ops);
  defineMultiply(ops);
  defineMoves(ops);
  defineBits(ops);
  defineLocked(ops);
  defineStack(ops);
  defineBranches(ops);
  defineStrings(ops);
  defineSystem(ops);
  defineSystemCalls(ops);
  defineSystemRegisters(ops);
  defineVectorMemory(ops);
}
