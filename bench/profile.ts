/**
 * Where the time of the software CPU goes: `node bench/profile.ts [COMMAND] [--top N]`. Boots a guest, which
 * runs COMMAND and powers off, and prints how long the thread of its vCPU was in each part and function. The programs of
 * bench/guest-programs/ and the data of the integer workloads are in the folder of the command: `./nbody 1000000`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { projectFolder } from '../tools/setup.js';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { OURS } from './contenders.ts';
import { type CpuProfile, type Share, selfTimes } from './cpu-profile.ts';
import { table } from './report.ts';
import { floatGroup, integerGroup, parallelGroup, processGroup } from './workloads.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { top: { type: 'string', default: '30' } },
});

const groups = await Promise.all([integerGroup(), floatGroup(), processGroup(), parallelGroup()]);
const files = groups.flatMap((group) => group.files);
const initrd = await guestInitramfs({ kind: 'commands', commands: positionals }, files);
const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
const folder = mkdtempSync(join(tmpdir(), 'crosvm-profile-'));
try {
  const words = OURS.linux({ kernel, initrd, params: ['cryptomgr.notests', 'quiet'], cpus: 1, memory: 256 });
  // Standard input stays open: its end would be one for the guest's console, too.
  const { status } = spawnSync(OURS.program, ['--cpu-prof', '--cpu-prof-dir', folder, ...words], {
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Error(`the guest ended with status ${status}`);
  print(selfTimes(busiest(folder), projectFolder));
} finally {
  rmSync(folder, { recursive: true });
}

/** Every thread writes a profile; the vCPU's is the one in which most happened. */
function busiest(path: string): CpuProfile {
  const profiles = readdirSync(path).map((name): CpuProfile => JSON.parse(readFileSync(join(path, name), 'utf8')));
  const idle = (profile: CpuProfile) => profile.nodes.find(({ callFrame }) => callFrame.functionName === '(idle)')?.id;
  const busy = profiles.map((profile) => {
    const idleNode = idle(profile);
    return profile.timeDeltas.reduce((sum, delta, i) => (profile.samples[i] === idleNode ? sum : sum + delta), 0);
  });
  const found = profiles[busy.indexOf(Math.max(...busy))];
  if (found === undefined) throw new Error('there is no profile');
  return found;
}

function print({ parts, functions }: { parts: readonly Share[]; functions: readonly Share[] }): void {
  const total = parts.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const rows = (shares: readonly Share[]) =>
    shares.map(({ name, milliseconds }) => [
      name,
      milliseconds.toFixed(0),
      `${((100 * milliseconds) / total).toFixed(1)} %`,
    ]);
  console.log(`\n${table(['part', 'ms', 'of all'], rows(parts))}`);
  console.log(table(['function', 'ms', 'of all'], rows(functions.slice(0, Number(values.top)))));
}
