/**
 * From the start of the process to the guest's /init, beside QEMU: `node bench/boot.ts [--pairs N]`. 1 vCPU, 256 MiB,
 * Debian's kernel as vmlinux and as bzImage, with and without the self-tests of the kernel's cryptography.
 */
import { parseArgs } from 'node:util';
import { buildCommandLine } from '../src/arch/x86_64/cmdline.ts';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { type Contender, type LinuxGuest, OURS, QEMU } from './contenders.ts';
import { machineLine, median, spread, table } from './report.ts';
import { type Measured, untilPrinted } from './watch.ts';

const { values } = parseArgs({ options: { pairs: { type: 'string', default: '3' } } });
const pairs = Number(values.pairs);

const bzImage = await fetchKernel(CLOUD_KERNEL_6_12);
const kernels = { vmlinux: await vmlinuxOf(bzImage), bzImage };
const initrd = await guestInitramfs({ kind: 'commands', commands: [] });
const rows: string[][] = [];
const header = machineLine();

for (const params of [['cryptomgr.notests'], []]) {
  for (const [form, kernel] of Object.entries(kernels)) {
    const guest = { kernel, initrd, params, commandLine: buildCommandLine({ console: 'ttyS0', params }) };
    rows.push(...(await compare(`${form}${params.map((param) => `, ${param}`).join('')}`, guest)));
  }
}
console.log(`${header}; pairs: ${pairs}\n`);
console.log(table(['guest', 'program', 'wall s', 'CPU s', 'private MB beyond the guest', 'wall, of QEMU'], rows));

/** Takes turns, so that both see the same disturbances. */
async function compare(name: string, guest: LinuxGuest): Promise<string[][]> {
  const results: [Contender, Measured[]][] = [OURS, QEMU].map((contender) => [contender, []]);
  for (let pair = 0; pair < pairs; pair++) {
    for (const [contender, measured] of results) {
      console.error(`${name}: ${contender.name}, ${pair + 1} of ${pairs}`);
      measured.push(await untilPrinted(contender.program, contender.linux(guest), GUEST_IS_UP, contender.ram));
    }
  }
  const wall = results.map(([, measured]) => median(measured.map((m) => m.seconds)));
  return results.map(([contender, measured], i) => [
    name,
    contender.name,
    spread(measured.map((m) => m.seconds)),
    spread(measured.map((m) => m.cpuSeconds)),
    spread(
      measured.map((m) => m.other / 1e6),
      0,
    ),
    (wall[i]! / wall[1]!).toFixed(2),
  ]);
}
