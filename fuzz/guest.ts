/**
 * Hostile guest programs on the software CPU, until the time is over:
 *
 *     npm run fuzz -- guest [--minutes N] [--programs N] [--seed N] [--attacks name,name]
 *
 * Ends with status 1 if one crashed, hung, wrote where it must not, or came to something else when it was compiled, or
 * interrupted after each block.
 */
import { parseArgs } from 'node:util';
import { ATTACKS } from '../e2e/hostile/attacks.ts';
import { runHostile } from '../e2e/hostile/watch.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    programs: { type: 'string' },
    seed: { type: 'string' },
    attacks: { type: 'string' },
  },
});
const attacks = values.attacks?.split(',');
const unknown = attacks?.find((name) => !Object.hasOwn(ATTACKS, name));
if (unknown !== undefined) {
  console.error(`fuzz guest: there is no attack ${unknown}; there are ${Object.keys(ATTACKS).join(', ')}`);
  process.exit(2);
}

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const { programs, failures, endings } = await runHostile({
  seed,
  programs: values.programs === undefined ? Number.POSITIVE_INFINITY : Number(values.programs),
  milliseconds: Number(values.minutes) * 60_000,
  ...(attacks !== undefined && { attacks }),
});
const suffix = values.attacks === undefined ? '' : ` --attacks ${values.attacks}`;
for (const failure of failures) {
  console.log(`npm run fuzz -- guest --programs 1 --seed ${failure.seed}${suffix}`);
  for (const line of failure.lines) console.log(`    ${line}`);
}
const ended = Object.entries(endings).map(([ending, times]) => `${times} ${ending}`);
console.log(`${programs} programs (${ended.join(', ')}), ${failures.length} failed; next seed ${seed + programs}`);
process.exitCode = failures.length > 0 ? 1 : 0;
