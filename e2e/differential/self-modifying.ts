/** Sequences that overwrite their own instructions: right before they execute, and between two executions. */
import { PAGE } from './layout.ts';
import type { Random } from './random.ts';
import type { Step } from './test-case.ts';

const NOP = 0x90;
/** What NOPs are overwritten with, by size: whole instructions. */
const REPLACEMENTS: Readonly<Record<number, readonly (readonly number[])[]>> = {
  1: [[0xf9], [0xfc], [0x98], [NOP]],
  2: [
    [0xb0, 0x55],
    [0xff, 0xc0],
    [0x01, 0xd2],
  ],
  4: [
    [0x83, 0xc2, 0x05, NOP],
    [0xff, 0xc0, 0xff, 0xca],
    [0x0f, 0xb6, 0xc2, 0xf9],
  ],
};
const PREFIXES: Readonly<Record<number, readonly number[]>> = { 1: [0xc6], 2: [0x66, 0xc7], 4: [0xc7] };

/** The steps, for 64-bit code at `offset` of the code pages. */
export function selfModifyingSteps(random: Random): Step[] {
  const size = random.pick([1, 2, 4]);
  const overwritesImmediate = random.chance(0.5);
  const victim = overwritesImmediate
    ? [0xb8 | random.pick([0, 2, 3]), 1, 2, 3, 4]
    : Array.from({ length: 8 }, () => NOP);
  const at = overwritesImmediate ? 1 + random.below(5 - size) : random.below(9 - size);
  const value = overwritesImmediate
    ? Array.from({ length: size }, () => random.below(256))
    : random.pick(REPLACEMENTS[size]!);
  const plain = (...bytes: number[]): Step => ({ bytes: Uint8Array.from(bytes), op: 'mov' });
  const filler = Array.from({ length: random.below(4) }, () => plain(0x01, 0xd0 | random.pick([0, 3])));
  const writer = (target: number): Step => {
    const head = [...PREFIXES[size]!, 0x05];
    const bytes = Uint8Array.from([...head, 0, 0, 0, 0, ...value]);
    return { bytes, op: 'mov', relative: { to: at, step: target, at: head.length } };
  };
  if (random.chance(0.5)) return [writer(1 + filler.length), ...filler, plain(...victim)];
  // mov ecx, 2 or 3; the victim; loop back to it.
  const again: Step = { bytes: Uint8Array.of(0xe2, 0), op: 'loop', branch: { to: 1, size: 1 } };
  return [plain(0xb9, 2 + random.below(2), 0, 0, 0), plain(...victim), ...filler, writer(1), ...filler, again];
}

/** Where they stand: often across the border of the two pages. */
export function selfModifyingOffset(random: Random, size: number): number {
  return random.chance(0.4) ? PAGE - random.below(size + 1) : random.below(PAGE - size);
}
