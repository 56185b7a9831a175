import { BARE_METAL_CASES } from './cases/index.ts';
import { vectorCases } from './cases/vectors.ts';
import { runCases } from './run-cases.ts';
import { SOFT } from './soft-target.ts';

runCases(SOFT, [...BARE_METAL_CASES, ...vectorCases]);
