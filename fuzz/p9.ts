/**
 * The 9P server with hostile clients, until the time is over:
 *
 *     npm run fuzz -- p9 [--minutes N] [--programs N] [--seed N]
 *
 * Ends with status 1 if the server threw, took too long, wrote where it must not, or left something open.
 */
import { parseArgs } from 'node:util';
import { runHostileClient } from './p9/hostile-client.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, programs: { type: 'string' }, seed: { type: 'string' } },
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
  console.log(`npm run fuzz -- p9 --programs 1 --seed ${seed}\n    ${problem.replaceAll('\n', '\n    ')}`);
}
console.log(`${seed - first} programs, ${failed} failed; next seed ${seed}`);
process.exitCode = failed > 0 ? 1 : 0;
