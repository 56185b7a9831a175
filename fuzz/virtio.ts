/**
 * Virtio devices with hostile drivers, and their back ends with hostile front ends, until the time is over:
 *
 *     npm run fuzz -- virtio [--minutes N] [--programs N] [--seed N] [--device NAME]
 *
 * Ends with status 1 if a device failed, hung, wrote where it must not, or left something open.
 */
import { parseArgs } from 'node:util';
import { DEVICES } from './virtio/devices.ts';
import { runHostileDriver } from './virtio/hostile-driver.ts';
import { runHostileFrontEnd } from './virtio/hostile-front-end.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    programs: { type: 'string' },
    seed: { type: 'string' },
    device: { type: 'string' },
  },
});
const { device } = values;
if (device !== undefined && !Object.hasOwn(DEVICES, device)) {
  console.error(`fuzz virtio: there is no device ${device}; there are ${Object.keys(DEVICES).join(', ')}`);
  process.exit(2);
}

const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const most = values.programs === undefined ? Number.POSITIVE_INFINITY : Number(values.programs);
const end = performance.now() + Number(values.minutes) * 60_000;
let seed = first;
let failed = 0;
for (; seed - first < most && performance.now() < end; seed++) {
  // Every tenth program is one of messages, unless a device was asked for.
  const isFrontEnd = device === undefined && seed % 10 === 0;
  const problem = isFrontEnd ? runHostileFrontEnd(seed) : runHostileDriver(seed, device);
  if (problem === undefined) continue;
  failed++;
  console.log(`npm run fuzz -- virtio --programs 1 --seed ${seed}${device === undefined ? '' : ` --device ${device}`}`);
  console.log(`    ${problem.replaceAll('\n', '\n    ')}`);
}
console.log(`${seed - first} programs, ${failed} failed; next seed ${seed}`);
process.exitCode = failed > 0 ? 1 : 0;
