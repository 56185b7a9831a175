/**
 * File servers with hostile clients, until the time is over:
 *
 *     npm run fuzz -- fuse [--minutes N] [--programs N] [--seed N]
 *
 * Ends with status 1 if a server failed, hung, left something open, or touched what is outside of its folder.
 */
import { parseArgs } from 'node:util';
import { runHostileClient } from './fuse/hostile-client.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    programs: { type: 'string' },
    seed: { type: 'string' },
  },
});
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const most = values.programs === undefined ? Number.POSITIVE_INFINITY : Number(values.programs);
const end = performance.now() + Number(values.minutes) * 60_000;
let seed = first;
let failed = 0;
for (; seed - first < most && performance.now() < end; seed++) {
  const problem = runHostileClient(seed);
  if (problem === undefined) continue;
  failed++;
  console.log(`npm run fuzz -- fuse --programs 1 --seed ${seed}`);
  console.log(`    ${problem.replaceAll('\n', '\n    ')}`);
}
console.log(`${seed - first} programs, ${failed} failed; next seed ${seed}`);
process.exitCode = failed > 0 ? 1 : 0;
