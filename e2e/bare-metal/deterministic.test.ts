/** The software CPU does what the cases expect, with deterministic time too. */
import { BARE_METAL_CASES } from './cases/index.ts';
import { DETERMINISTIC } from './deterministic-target.ts';
import { runCases } from './run-cases.ts';

runCases(DETERMINISTIC, BARE_METAL_CASES);
