/**
 * A guest's work in a folder that is shared by 9P, on the software CPU, beside QEMU's own 9P server under TCG, in turns:
 *
 *     node bench/p9.ts [--pairs N] [--json]
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { FULL_KERNEL, fetchKernel, fetchModules } from '../tools/guest-packages.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed, type Sample } from './comparison.ts';
import { type Contender, OURS, QEMU } from './contenders.ts';
import { GuestSession } from './guest-session.ts';
import { machineLine, table } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: { pairs: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } },
});
const PAIRS = Number(values.pairs);
const FILES = 400;
const MIB = 128;
const OPTIONS = 'trans=virtio,version=9p2000.L,msize=512000';

const machine = machineLine();
const folder = mkdtempSync(join('/var/tmp', 'crosvm-bench-'));

/** What is done: a command, and one before it that is not timed. */
const WORK: Readonly<Record<string, { readonly before?: string; readonly command: string }>> = {
  [`find with attributes, ${FILES} files, no cache`]: { command: 'find /mnt/many -size +100k | wc -l' },
  [`reading ${FILES} small files, no cache`]: { command: 'cat /mnt/many/*/* | wc -c' },
  [`unpacking ${FILES} files, no cache`]: {
    before: 'rm -rf /mnt/new; mkdir /mnt/new',
    command: 'tar xf /mnt/many.tar -C /mnt/new',
  },
  [`reading ${MIB} MiB in blocks of 1 MiB, no cache`]: { command: 'dd if=/mnt/large of=/dev/null bs=1M' },
  [`writing ${MIB} MiB in blocks of 1 MiB, no cache`]: {
    command: `dd if=/dev/zero of=/mnt/written bs=1M count=${MIB} conv=notrunc`,
  },
};

async function boot(contender: Contender): Promise<GuestSession> {
  const share = join(folder, contender === OURS ? 'ours' : 'theirs');
  mkdirSync(join(share, 'many'), { recursive: true });
  for (let i = 0; i < FILES; i++) {
    const sub = join(share, 'many', `${i % 20}`);
    mkdirSync(sub, { recursive: true });
    writeFileSync(join(sub, `file ${i}`), Buffer.alloc((i % 10) * 1000, 7));
  }
  execFileSync('tar', ['cf', 'many.tar', 'many'], { cwd: share });
  writeFileSync(join(share, 'large'), Buffer.alloc(MIB << 20, 7));
  const paths = (await Promise.all((['virtio', 'p9'] as const).map((set) => fetchModules(set, FULL_KERNEL)))).flat();
  const drivers = paths.map((path) => ({ name: basename(path), data: readFileSync(path) }));
  const initrd = await guestInitramfs({ kind: 'console-lines' }, drivers);
  const kernel = await fetchKernel(FULL_KERNEL);
  const params = ['panic=-1', 'cryptomgr.notests'];
  const session = await GuestSession.boot(contender, { kernel, initrd, params, cpus: 1, memory: 512, share });
  const load = `for m in ${drivers.map(({ name }) => name).join(' ')}; do insmod $m || exit; done; mkdir -p /mnt`;
  await ask(session, `${load}; mount -t 9p -o ${OPTIONS} share /mnt`);
  return session;
}

async function ask(session: GuestSession, command: string): Promise<Sample> {
  const { status, output, seconds, cpuSeconds } = await session.run(command);
  if (status !== 0) throw new Error(`${session.contender.name}: ${command}: ${output}`);
  return { seconds, cpuSeconds };
}

try {
  using ours = await boot(OURS);
  using theirs = await boot(QEMU);
  const comparisons: Comparison[] = [];
  for (const [name, { before, command }] of Object.entries(WORK)) {
    const samples = { ours: [] as Sample[], theirs: [] as Sample[] };
    for (let pair = 0; pair <= PAIRS; pair++) {
      for (const [whose, session] of [['ours', ours] as const, ['theirs', theirs] as const]) {
        if (before !== undefined) await ask(session, before);
        const sample = await ask(session, command);
        if (pair > 0) samples[whose].push(sample); // the first is to warm up
      }
    }
    comparisons.push({ name, ...samples });
  }
  printResult({ machine, findings: [finding('p9', meanSpeed(comparisons))], comparisons }, values.json, [
    table(COMPARISON_HEADER(OURS.name, QEMU.name), comparisons.map(comparisonRow)),
  ]);
} finally {
  rmSync(folder, { recursive: true });
}
