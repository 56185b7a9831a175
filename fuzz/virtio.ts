/**
 * Virtio devices with hostile drivers, their back ends with hostile front ends, and our front end with hostile back ends,
 * until the time is over:
 *
 *     npm run fuzz -- virtio [--minutes N] [--programs N] [--seed N] [--device NAME | --messages front-end|back-end]
 *
 * Ends with status 1 if one failed, hung, wrote where it must not, or left something open.
 */
import { parseArgs } from 'node:util';
import { DEVICES } from './virtio/devices.ts';
import { runHostileBackEnd } from './virtio/hostile-back-end.ts';
import { runHostileDriver } from './virtio/hostile-driver.ts';
import { runHostileFrontEnd } from './virtio/hostile-front-end.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    programs: { type: 'string' },
    seed: { type: 'string' },
    device: { type: 'string' },
    messages: { type: 'string' },
  },
});
const { device, messages } = values;
if (messages !== undefined && messages !== 'front-end' && messages !== 'back-end') {
  console.error('fuzz virtio: --messages is of a hostile front-end or of a hostile back-end');
  process.exit(2);
}
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
  const problem = await runProgram(seed);
  if (problem === undefined) continue;
  failed++;
  const options = [device && ` --device ${device}`, messages && ` --messages ${messages}`].join('');
  console.log(`npm run fuzz -- virtio --programs 1 --seed ${seed}${options}`);
  console.log(`    ${problem.replaceAll('\n', '\n    ')}`);
}
console.log(`${seed - first} programs, ${failed} failed; next seed ${seed}`);
process.exitCode = failed > 0 ? 1 : 0;

/** One program in ten is of a front end, and one of a back end, if nobody asked for something else. */
function runProgram(seed: number): Promise<string | undefined> | string | undefined {
  const isOpen = device === undefined && messages === undefined;
  if (messages === 'front-end' || (isOpen && seed % 10 === 0)) return runHostileFrontEnd(seed);
  if (messages === 'back-end' || (isOpen && seed % 10 === 1)) return runHostileBackEnd(seed);
  return runHostileDriver(seed, device);
}
