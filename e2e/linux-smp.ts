/** A Debian kernel on two vCPUs, the same for each hypervisor. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { CROSVM, commandOutputs, finish } from './linux-guest.ts';

const JOB_SIZE = 2_000_000;
const JOB = `head -c ${JOB_SIZE} /dev/zero | sha256sum`;
const RESULT = `${createHash('sha256').update(new Uint8Array(JOB_SIZE)).digest('hex')}  -\n`;

/** What the kernel says when a vCPU was not there for it in time, or clocks differ. */
const COMPLAINTS = 'soft lockup|hard LOCKUP|stall|TSC unstable|not responding';

const COMMANDS: readonly { readonly command: string; readonly output: string }[] = [
  // What the kernel says to the console would stand in the middle of what the commands print.
  { command: 'dmesg -n 1', output: '' },
  { command: 'nproc', output: '2\n' },
  // Field 39 is the processor that the program was last executed on.
  { command: "for mask in 1 2; do taskset $mask cut -d ' ' -f 39 /proc/self/stat; done", output: '0\n1\n' },
  { command: `${JOB} & ${JOB}; wait`, output: RESULT + RESULT },
  { command: `dmesg | grep -cE '${COMPLAINTS}' || true`, output: '0\n' },
];

/** Declares the test. `hypervisor`: its name, and more options of `crosvm run`. */
export function testLinuxSmp(...hypervisor: readonly string[]): void {
  test(`${CLOUD_KERNEL_6_12} with two vCPUs works on ${hypervisor.join(' ')}, and reboots`, async () => {
    const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
    const commands = [...COMMANDS.map(({ command }) => command), 'reboot -f'];
    const initrd = await guestInitramfs({ kind: 'commands', commands }, []);
    const words = ['run', '--hypervisor', ...hypervisor, '--extended-status', '--cpus', '2', '--initrd', initrd];
    const finished = await finish(CROSVM, [...words, '-p', 'panic=-1 cryptomgr.notests', kernel]);
    const outputs = commandOutputs(finished);
    for (const [i, { command, output }] of COMMANDS.entries()) {
      assert.deepEqual(outputs[i], { output, status: 0 }, command);
    }
    assert.equal(finished.status, 32, finished.console.slice(-3000) + finished.stderr);
  });
}
