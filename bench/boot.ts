/**
 * From the start of the process to the guest's /init, beside QEMU: `node bench/boot.ts [--pairs N] [--all] [--json]`.
 * 1 vCPU, 256 MiB, Debian's kernel as vmlinux, as a user boots it, with the self-tests of the kernel's cryptography;
 * with --all also without them, and as bzImage. Our own program has booted the kernel a few times before, as it has for
 * whoever works with one; the first boot, with nothing that was compiled before, is a line of its own.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, timeRatio } from './comparison.ts';
import { type Contender, type LinuxGuest, OURS, QEMU } from './contenders.ts';
import { machineLine, spread, table } from './report.ts';
import { finding, printResult } from './result.ts';
import { type Measured, untilPrinted } from './watch.ts';

interface BootComparison extends Comparison {
  readonly ours: readonly Measured[];
  readonly theirs: readonly Measured[];
}

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    all: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const pairs = Number(values.pairs);
const NO_SELF_TESTS = ['cryptomgr.notests'];
/** Boots after which what they have compiled changes little. */
const BOOTS_BEFORE = 3;

const bzImage = await fetchKernel(CLOUD_KERNEL_6_12);
const vmlinux = await vmlinuxOf(bzImage);
const initrd = await guestInitramfs({ kind: 'commands', commands: [] });
const machine = `${machineLine()}; pairs: ${pairs}`;

const cache = mkdtempSync(join(tmpdir(), 'crosvm-boot-'));
process.once('exit', () => rmSync(cache, { recursive: true }));

const first = await compare('vmlinux', vmlinux, []);
const cold = await compare('vmlinux, first boot', vmlinux, [], 'off');
const others = values.all
  ? [
      await compare('vmlinux, cryptomgr.notests', vmlinux, NO_SELF_TESTS),
      await compare('bzImage', bzImage, []),
      await compare('bzImage, cryptomgr.notests', bzImage, NO_SELF_TESTS),
    ]
  : [];
const comparisons = [first, cold, ...others];
const findings = [
  finding('boot-wall', timeRatio(first, 'seconds')),
  finding('boot-cpu', timeRatio(first, 'cpuSeconds')),
];
const times = table(COMPARISON_HEADER('crosvm', 'QEMU'), comparisons.map(comparisonRow));
const memory = table(['guest', 'crosvm, private MB beyond the guest', 'QEMU'], comparisons.map(memoryRow));
printResult({ machine, findings, comparisons }, values.json, [times, memory]);

/** Takes turns, so that both see the same disturbances. */
async function compare(
  name: string,
  kernel: string,
  params: readonly string[],
  jitCache = cache,
): Promise<BootComparison> {
  const guest: LinuxGuest = { kernel, initrd, params, cpus: 1, memory: 256, jitCache };
  if (jitCache !== 'off') for (let i = 0; i < BOOTS_BEFORE; i++) bootToTheEnd(guest);
  const boot = (contender: Contender) =>
    untilPrinted(contender.program, contender.linux(guest), GUEST_IS_UP, contender.ram);
  const samples: { ours: Measured[]; theirs: Measured[] } = { ours: [], theirs: [] };
  for (let pair = 0; pair < pairs; pair++) {
    console.error(`${name}: ${pair + 1} of ${pairs}`);
    samples.ours.push(await boot(OURS));
    samples.theirs.push(await boot(QEMU));
  }
  return { name, ...samples };
}

/** What is compiled is kept when the guest powers off. */
function bootToTheEnd(guest: LinuxGuest): void {
  const { status, stderr } = spawnSync(OURS.program, OURS.linux(guest), { stdio: ['pipe', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`a boot ended with status ${status}: ${stderr}`);
}

function memoryRow({ name, ours, theirs }: BootComparison): string[] {
  const column = (measured: readonly Measured[]) =>
    spread(
      measured.map(({ other }) => other / 1e6),
      0,
    );
  return [name, column(ours), column(theirs)];
}
