/** One sequence of instructions with the state it starts in, and what came of it. */
import type { CodeSize } from '../../src/hypervisor/soft/decode/insn.ts';

export interface Step {
  readonly bytes: Uint8Array;
  readonly op: string;
  /** A direct branch: the index of the step it goes to (or beyond for the end), and the bytes of its displacement. */
  readonly branch?: { readonly to: number; readonly size: number };
  /** A RIP-relative operand: the address (from the start of a step, if there is one), and where its displacement is. */
  readonly relative?: { readonly to: number; readonly step?: number; readonly at: number };
}

export interface State {
  readonly gpr: BigUint64Array;
  readonly rflags: number;
  /** FXSAVE image. */
  readonly fxsave: Uint8Array;
}

export interface TestCase {
  readonly steps: readonly Step[];
  /** Of the first byte, from the start of the code pages. */
  readonly offset: number;
  readonly codeSize: CodeSize;
  readonly state: State;
  /** It overwrites its code with what both CPUs have; what others write there by chance can be anything. */
  readonly selfModifying?: boolean;
}

export interface Change {
  readonly address: number;
  readonly value: bigint;
}

/** Where and how a sequence ended. */
export interface Outcome {
  /** Exception vector; 3 with `rip` behind the code if all went well. -1: it did not end in time. -2: not implemented. */
  readonly vector: number;
  /** What is not implemented. */
  readonly missing?: string;
  /** Of page faults. */
  readonly address: bigint;
  readonly error: number;
  readonly rip: bigint;
  readonly rflags: number;
  readonly gpr: BigUint64Array;
  readonly fxsave: Uint8Array;
  readonly changes: readonly Change[];
}

export const TIMED_OUT = -1;
export const MISSING = -2;

/** The code of a case: branches and RIP-relative displacements resolved. */
export function link(test: TestCase, base: number): Uint8Array {
  const starts = stepStarts(test.steps);
  const out = new Uint8Array(starts[starts.length - 1]!);
  test.steps.forEach((step, i) => {
    const bytes = step.bytes.slice();
    const end = starts[i + 1]!;
    const view = new DataView(bytes.buffer);
    if (step.branch !== undefined) {
      const { to, size } = step.branch;
      const displacement = starts[Math.min(to, test.steps.length)]! - end;
      for (let k = 0; k < size; k++) bytes[bytes.length - size + k] = displacement >> (8 * k);
    }
    if (step.relative !== undefined) {
      const { to, step: target, at } = step.relative;
      const origin = base + test.offset;
      view.setInt32(at, (target === undefined ? to : origin + starts[target]! + to) - (origin + end), true);
    }
    out.set(bytes, starts[i]!);
  });
  return out;
}

/** Offsets of the steps, then that of the end. */
export function stepStarts(steps: readonly Step[]): number[] {
  const starts = [0];
  for (const step of steps) starts.push(starts[starts.length - 1]! + step.bytes.length);
  return starts;
}
