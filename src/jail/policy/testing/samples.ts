import type { Atom, Rule } from '../policy.ts';

const MASK = 2n ** 64n - 1n;
const HIGH = 2n ** 32n;
/** More combinations of arguments than this are not tried. */
const MAX_SAMPLES = 2000;

/** Whether a rule allows a call, by the meaning of its atoms alone. */
export function isAllowed({ allowedIf }: Rule, args: readonly bigint[]): boolean {
  return allowedIf.some((atoms) => atoms.every((atom) => isTrue(atom, args[atom.argument] ?? 0n)));
}

function isTrue({ operator, value }: Atom, argument: bigint): boolean {
  switch (operator) {
    case '==':
      return argument === value;
    case '!=':
      return argument !== value;
    case '<':
      return argument < value;
    case '<=':
      return argument <= value;
    case '>':
      return argument > value;
    case '>=':
      return argument >= value;
    case '&':
      return (argument & value) !== 0n;
    case 'in':
      return (argument & ~value & MASK) === 0n;
  }
}

/** Six arguments each, around everything that a rule compares with, in all combinations of the arguments that it looks at. */
export function samplesOf({ allowedIf }: Rule): bigint[][] {
  const values = new Map<number, Set<bigint>>();
  for (const { argument, value } of allowedIf.flat()) {
    const all = values.get(argument) ?? new Set([0n, 1n, HIGH, MASK]);
    values.set(argument, all);
    for (const near of [value - 1n, value, value + 1n, value ^ HIGH, ~value, value | 1n, value + 2n * HIGH]) {
      all.add(near & MASK);
    }
    for (let bit = 0n; bit < 64n; bit++) all.add((value ^ (1n << bit)) & MASK);
  }
  let samples: bigint[][] = [[0n, 0n, 0n, 0n, 0n, 0n]];
  for (const [argument, all] of values) {
    samples = samples.flatMap((sample) => [...all].map((value) => sample.with(argument, value)));
    if (samples.length > MAX_SAMPLES)
      samples = samples.filter((_, i) => i % Math.ceil(samples.length / MAX_SAMPLES) === 0);
  }
  return samples;
}
