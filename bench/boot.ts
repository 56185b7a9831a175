/**
 * From the start of the process to the guest's /init, beside QEMU: `node bench/boot.ts [--pairs N] [--all] [--json]`.
 * 1 vCPU, 256 MiB, Debian's kernel as vmlinux, as a user boots it, with the self-tests of the kernel's cryptography;
 * with --all also without them, and as bzImage. Our own program has booted the kernel a few times before, as it has for
 * whoever works with one; the first boot, with nothing that was compiled before, is a line of its own. It is the package as
 * it is published, which this builds; a checkout, which loads hundreds of files, is a line of its own, too.
 */
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { type BootComparison, compareBoots } from './boot-duel.ts';
import { COMPARISON_HEADER, comparisonRow, timeRatio } from './comparison.ts';
import { type Contender, OURS, OURS_BUILT, QEMU } from './contenders.ts';
import { machineLine, spread, table } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    all: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const pairs = Number(values.pairs);
const NO_SELF_TESTS = ['cryptomgr.notests'];

const bzImage = await fetchKernel(CLOUD_KERNEL_6_12);
const vmlinux = await vmlinuxOf(bzImage);
const initrd = await guestInitramfs({ kind: 'commands', commands: [] });
const machine = `${machineLine()}; pairs: ${pairs}`;

await import('../tools/build.ts');
const first = await compare('vmlinux', vmlinux, []);
const cold = await compare('vmlinux, first boot', vmlinux, [], OURS_BUILT, false);
const sources = await compare('vmlinux, our sources', vmlinux, [], OURS);
const others = values.all
  ? [
      await compare('vmlinux, cryptomgr.notests', vmlinux, NO_SELF_TESTS),
      await compare('bzImage', bzImage, []),
      await compare('bzImage, cryptomgr.notests', bzImage, NO_SELF_TESTS),
    ]
  : [];
const comparisons = [first, cold, sources, ...others];
const findings = [
  finding('boot-wall', timeRatio(first, 'seconds')),
  finding('boot-cpu', timeRatio(first, 'cpuSeconds')),
];
const times = table(COMPARISON_HEADER('crosvm', 'QEMU'), comparisons.map(comparisonRow));
const memory = table(['guest', 'crosvm, private MB beyond the guest', 'QEMU'], comparisons.map(memoryRow));
printResult({ machine, findings, comparisons }, values.json, [times, memory]);

function compare(
  name: string,
  kernel: string,
  params: readonly string[],
  own: Contender = OURS_BUILT,
  history = true,
): Promise<BootComparison> {
  return compareBoots(name, { kernel, initrd, params, cpus: 1, memory: 256 }, [own, QEMU], pairs, history);
}

function memoryRow({ name, ours, theirs }: BootComparison): string[] {
  const column = (measured: BootComparison['ours']) =>
    spread(
      measured.map(({ other }) => other / 1e6),
      0,
    );
  return [name, column(ours), column(theirs)];
}
