/**
 * Work in a guest, beside QEMU: `node bench/guest.ts [integer] [float] [process] [--pairs N] [--json]`. One guest of each
 * contender is booted for each group; both stay up and take turns with each workload.
 */
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed } from './comparison.ts';
import { OURS, QEMU } from './contenders.ts';
import { compareWorkloads } from './duel.ts';
import { machineLine, table } from './report.ts';
import { type Finding, finding, printResult } from './result.ts';
import { floatGroup, integerGroup, processGroup } from './workloads.ts';

const GROUPS = { integer: integerGroup, float: floatGroup, process: processGroup } as const;
type GroupName = keyof typeof GROUPS;
const isGroup = (name: string): name is GroupName => Object.hasOwn(GROUPS, name);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } },
});
const pairs = Number(values.pairs);
const unknown = positionals.filter((name) => !isGroup(name));
if (unknown.length > 0) throw new Error(`no group ${unknown.join(', ')}; there are ${Object.keys(GROUPS).join(', ')}`);
const names = positionals.length > 0 ? positionals.filter(isGroup) : Object.keys(GROUPS).filter(isGroup);

const machine = `${machineLine()}; pairs: ${pairs}`;
const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
const findings: Finding[] = [];
const comparisons: Comparison[] = [];
for (const name of names) {
  const group = await GROUPS[name]();
  const initrd = await guestInitramfs({ kind: 'console-lines' }, group.files);
  const guest = { kernel, initrd, params: ['cryptomgr.notests'], cpus: 1, memory: 256 };
  const compared = await compareWorkloads(group, { contender: OURS, guest }, { contender: QEMU, guest }, pairs);
  comparisons.push(...compared);
  findings.push(finding(group.goal, meanSpeed(compared)));
}
const rows = table(COMPARISON_HEADER('crosvm', 'QEMU'), comparisons.map(comparisonRow));
printResult({ machine, findings, comparisons }, values.json, [rows]);
