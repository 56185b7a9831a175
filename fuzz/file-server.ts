/**
 * File servers with hostile clients, until the time is over:
 *
 *     npm run fuzz -- fuse [--minutes N] [--programs N] [--seed N]
 *
 * (or p9). Ends with status 1 if a server failed, hung, left something open, or touched what is outside of its folder.
 */
import { parseArgs } from 'node:util';
import { runHostileClient as runFuseClient } from './fuse/hostile-client.ts';
import { runHostileClient as runP9Client } from './p9/hostile-client.ts';

const CLIENTS: Readonly<Record<string, (seed: number) => string | undefined>> = {
  fuse: runFuseClient,
  p9: runP9Client,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    programs: { type: 'string' },
    seed: { type: 'string' },
  },
});
const [protocol = ''] = positionals;
const run = CLIENTS[protocol];
if (run === undefined) {
  console.error(`fuzz file-server: a protocol is missing: ${Object.keys(CLIENTS).join(', ')}`);
  process.exit(2);
}
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const most = values.programs === undefined ? Number.POSITIVE_INFINITY : Number(values.programs);
const end = performance.now() + Number(values.minutes) * 60_000;
let seed = first;
let failed = 0;
for (; seed - first < most && performance.now() < end; seed++) {
  const problem = run(seed);
  if (problem === undefined) continue;
  failed++;
  console.log(`npm run fuzz -- ${protocol} --programs 1 --seed ${seed}`);
  console.log(`    ${problem.replaceAll('\n', '\n    ')}`);
}
console.log(`${seed - first} programs, ${failed} failed; next seed ${seed}`);
process.exitCode = failed > 0 ? 1 : 0;
