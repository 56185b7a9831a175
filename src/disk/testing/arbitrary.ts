/** Changes to disks for property tests (fast-check). */
import * as fc from 'fast-check';
import type { Change } from './operations.ts';

const MAX_SECTORS = 200;

const range = {
  sector: fc.nat(2 ** 16),
  sectors: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 12 }) },
    fc.integer({ min: 1, max: MAX_SECTORS }),
  ),
};

export const arbitraryChange: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 7,
    arbitrary: fc.record({ kind: fc.constant('write' as const), value: fc.integer({ min: 1, max: 255 }), ...range }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('writeZeroes' as const), mayUnmap: fc.boolean(), ...range }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('discard' as const), ...range }) },
);

/**
 * How often a property is tried, and from which seed: the same each time, as a failure should be that of a change. More, and
 * others, with CROSVM_TEST_RUNS (a factor) and CROSVM_TEST_SEED.
 */
export function runs(numRuns: number): { numRuns: number; seed: number } {
  const { CROSVM_TEST_RUNS = '1', CROSVM_TEST_SEED = '1' } = process.env;
  return { numRuns: numRuns * Number(CROSVM_TEST_RUNS), seed: Number(CROSVM_TEST_SEED) };
}
