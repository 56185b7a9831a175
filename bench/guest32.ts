/**
 * A 32-bit guest, Debian's i686 kernel without PAE, beside v86: `node bench/guest32.ts [--pairs N] [--qemu] [--json]`. The
 * boot to /init, of a kernel that was booted before, and work in the guest. With --qemu beside QEMU instead, for comparison; that says nothing about the goal.
 */
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { fetchKernel, KERNEL_686 } from '../tools/guest-packages.ts';
import { compareBoots } from './boot-duel.ts';
import { COMPARISON_HEADER, comparisonRow, meanSpeed } from './comparison.ts';
import { type LinuxGuest, OURS, QEMU } from './contenders.ts';
import { compareWorkloads } from './duel.ts';
import { machineLine, table } from './report.ts';
import { finding, printResult } from './result.ts';
import { fetchV86 } from './v86.ts';
import { group32 } from './workloads.ts';

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    qemu: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const pairs = Number(values.pairs);

const machine = `${machineLine()}; pairs: ${pairs}`;
const other = values.qemu ? QEMU : await fetchV86();
const group = group32();
const guest: LinuxGuest = {
  kernel: await fetchKernel(KERNEL_686, 'i386'),
  initrd: await guestInitramfs({ kind: 'console-lines' }, group.files, 'i386'),
  params: ['cryptomgr.notests'],
  cpus: 1,
  memory: 256,
};
const comparisons = [
  await compareBoots('boot to /init', guest, [OURS, other], pairs, true),
  ...(await compareWorkloads(group, { contender: OURS, guest }, { contender: other, guest }, pairs)),
];
const findings = values.qemu ? [] : [finding(group.goal, meanSpeed(comparisons))];
const rows = table(COMPARISON_HEADER('crosvm', other.name), comparisons.map(comparisonRow));
printResult({ machine, findings, comparisons }, values.json, [rows]);
