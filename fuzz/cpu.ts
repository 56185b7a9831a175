/**
 * Random instruction sequences on the host's CPU and on the software CPU, until the time is over:
 *
 *     npm run fuzz -- cpu [--minutes N] [--batches N] [--seed N] [--bits 32|64] [--op name,name] [--interpreter]
 *
 * Code is compiled before it is executed, or never with --interpreter. Ends with status 1 if anything differed. A failure
 * is repeated by the command that is printed with it.
 */
import { parseArgs } from 'node:util';
import { BATCH, Campaign } from '../e2e/differential/campaign.ts';
import { hostMissing } from '../e2e/differential/host.ts';

const MOST_FAILURES = 20;
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    batches: { type: 'string' },
    seed: { type: 'string' },
    bits: { type: 'string' },
    op: { type: 'string' },
    interpreter: { type: 'boolean', default: false },
  },
});

const missing = hostMissing();
if (missing !== false) {
  console.error(`fuzz cpu: ${missing}`);
  process.exit(1);
}

const end = performance.now() + Number(values.minutes) * 60_000;
const batches = values.batches === undefined ? Number.POSITIVE_INFINITY : Number(values.batches);
let seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const only = values.op === undefined ? undefined : new Set(values.op.split(','));
const campaign = new Campaign(values.interpreter ? Number.POSITIVE_INFINITY : 0);
let shown = 0;
for (let n = 0; n < batches && performance.now() < end && campaign.failures.length < MOST_FAILURES; n++, seed++) {
  const codeSize = values.bits === '32' || (values.bits === undefined && batches > 1 && n % 4 === 3) ? 4 : 8;
  campaign.run({ seed, codeSize, ...(only === undefined ? {} : { only }) });
  for (; shown < campaign.failures.length; shown++) console.log(`\n${campaign.failures[shown]}`);
}
campaign.close();
const count = (map: ReadonlyMap<string, number>) => [...map].map(([name, times]) => `${name} ${times}`).join(', ');
if (campaign.missing.size > 0) console.log(`\nNot implemented: ${count(campaign.missing)}`);
console.log(
  `\n${campaign.cases} sequences (batches of ${BATCH}), ${campaign.failures.length} differ; next seed ${seed}`,
);
process.exitCode = campaign.failures.length > 0 ? 1 : 0;
