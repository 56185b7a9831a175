/**
 * Two vCPUs against one on a job of two processes: `node bench/smp.ts [--pairs N] [--json]`. Each contender against itself;
 * ours counts, QEMU's is there to compare. Needs two processors.
 */
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed } from './comparison.ts';
import { type Contender, OURS, QEMU } from './contenders.ts';
import { compareWorkloads } from './duel.ts';
import { machineLine, table } from './report.ts';
import { finding, printResult } from './result.ts';
import { parallelGroup } from './workloads.ts';

const { values } = parseArgs({
  options: { pairs: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } },
});
const pairs = Number(values.pairs);

const machine = `${machineLine()}; pairs: ${pairs}`;
const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
const group = await parallelGroup();
const initrd = await guestInitramfs({ kind: 'console-lines' }, group.files);
const ours = await againstItself(OURS);
const qemu = await againstItself(QEMU);
const rows = table(COMPARISON_HEADER('two vCPUs', 'one'), [...ours, ...qemu].map(comparisonRow));
printResult(
  { machine, findings: [finding(group.goal, meanSpeed(ours))], comparisons: [...ours, ...qemu] },
  values.json,
  [rows],
);

async function againstItself(contender: Contender): Promise<Comparison[]> {
  const side = (cpus: number) => ({
    contender,
    guest: { kernel, initrd, params: ['cryptomgr.notests'], cpus, memory: 256 },
  });
  const comparisons = await compareWorkloads(group, side(2), side(1), pairs);
  return comparisons.map((comparison) => ({ ...comparison, name: `${comparison.name}, ${contender.name}` }));
}
