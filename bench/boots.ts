/**
 * Boots in a row, each to power off: `node bench/boots.ts [--boots N] [--cpus N] [--timeout SECONDS] [--json]`. For a boot
 * that fails or hangs it prints the end of the console.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { commandStatus } from '../tools/initramfs.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { OURS } from './contenders.ts';
import { machineLine, spread } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: {
    boots: { type: 'string', default: '50' },
    cpus: { type: 'string', default: '1' },
    timeout: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
});
const boots = Number(values.boots);
const cpus = Number(values.cpus);
const timeoutMs = Number(values.timeout) * 1000;
const TAIL = 1500;

const machine = `${machineLine()}; boots: ${boots}, vCPUs: ${cpus}`;
const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
const commands = [
  'seq 1 20000 | gzip | gunzip | md5sum',
  'for i in 1 2 3 4 5; do find /sys -maxdepth 3 >/dev/null & done; wait',
];
const initrd = await guestInitramfs({ kind: 'commands', commands });
const words = OURS.linux({ kernel, initrd, params: [], cpus, memory: 256 });
const seconds: number[] = [];
for (let boot = 1; boot <= boots; boot++) {
  const start = performance.now();
  const failure = await bootOnce();
  if (failure === undefined) seconds.push((performance.now() - start) / 1000);
  console.error(`boot ${boot} of ${boots}: ${failure ?? `${seconds.at(-1)!.toFixed(1)} s`}`);
}
const times = seconds.length > 0 ? `seconds from start to power off: ${spread(seconds, 1)}\n` : '';
printResult({ machine, findings: [finding('boots', seconds.length)], comparisons: [] }, values.json, [times]);
if (seconds.length < boots) process.exitCode = 1;

/** What went wrong, with the end of the console; undefined when nothing did. */
function bootOnce(): Promise<string | undefined> {
  // Standard input stays open: its end would be one for the guest's console, too.
  const child = spawn(OURS.program, words, { timeout: timeoutMs, killSignal: 'SIGKILL' });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => {
      const succeeded = text.split(commandStatus(0)).length - 1 === commands.length;
      if (status === 0 && succeeded) resolve(undefined);
      else
        resolve(`${signal === 'SIGKILL' ? 'hangs' : `status ${status}`}; its console ends with\n${text.slice(-TAIL)}`);
    });
  });
}
