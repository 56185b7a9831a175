/**
 * What a jailed device process costs: the time from the order to its first answer, and the memory that only it has while it
 * waits.
 *
 *     node bench/jail.ts [--devices N] [--json]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { JailLauncher } from '../src/vm/devices/jail-launcher.ts';
import { type ConnectedDevice, endDevice, launchDevice, untilItAnswers } from '../src/vm/devices/testing/launch.ts';
import { machineLine, median, spread, table } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: { devices: { type: 'string', default: '20' }, json: { type: 'boolean', default: false } },
});
const launcher = new JailLauncher({});

async function launch(): Promise<{ device: ConnectedDevice; ms: number }> {
  const start = performance.now();
  const device = launchDevice(launcher, { type: 'rng' }, console.error);
  await untilItAnswers(device);
  return { device, ms: performance.now() - start };
}

/** Memory of a process in kB, by the lines of /proc/PID/smaps_rollup. */
function memory(pid: string): { own: number; proportional: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kb = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)![1]);
  return { own: kb('Private_Dirty') + kb('Private_Clean'), proportional: kb('Pss') };
}

function jailedProcesses(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return status.startsWith('Name:\trng device\n') && new RegExp(`^PPid:\\t${zygote()}$`, 'm').test(status);
    } catch {
      return false;
    }
  });
}

function zygote(): string {
  return readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim();
}

const first = await launch();
const others: ConnectedDevice[] = [];
const times: number[] = [];
for (let i = 0; i < Number(values.devices); i++) {
  const { device, ms } = await launch();
  others.push(device);
  times.push(ms);
}
const memories = jailedProcesses().map(memory);
const megabytes = (kilobytes: number[]) => median(kilobytes) / 1024;
const rows = [
  ['first device, with the start of the zygote', `${first.ms.toFixed(0)} ms`],
  [`each of ${others.length} others`, `${spread(times, 1)} ms`],
  ['share of all memory, idle', `${megabytes(memories.map(({ proportional }) => proportional)).toFixed(2)} MB`],
];
const findings = [
  finding('jail-time', median(times)),
  finding('jail-memory', megabytes(memories.map(({ own }) => own))),
];
printResult({ machine: machineLine(), findings, comparisons: [] }, values.json, [table(['what', 'measured'], rows)]);
for (const device of [first.device, ...others]) void endDevice(device);
await launcher.close();
