/** Boots of Debian's kernels, the same for each hypervisor. Between them they end in every way that a guest can end. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { PM_PORT, PM1_CONTROL_OFFSET } from '../src/arch/x86_64/platform.ts';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import {
  CLOUD_KERNEL,
  CLOUD_KERNEL_6_12,
  fetchBusybox,
  fetchKernel,
  fetchModules,
  KERNEL_686,
  KERNEL_686_PAE,
} from '../tools/guest-packages.ts';
import type { GuestFile } from '../tools/initramfs.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { guestCommands, type Machine } from './linux-commands.ts';
import { CROSVM, commandOutputs, finish } from './linux-guest.ts';
import { outWord, print, rom } from './rom.ts';

interface Boot {
  readonly package: string;
  readonly form: 'bzImage' | 'vmlinux';
  readonly end: 'power off' | 'reboot' | 'panic';
  readonly machine?: Machine;
}

/** Between them they enter the guest and end it in each way. */
export const BOOTS: readonly Boot[] = [
  { package: CLOUD_KERNEL_6_12, form: 'vmlinux', end: 'power off' },
  { package: CLOUD_KERNEL_6_12, form: 'bzImage', end: 'reboot' },
  { package: CLOUD_KERNEL, form: 'vmlinux', end: 'panic' },
  { package: CLOUD_KERNEL, form: 'bzImage', end: 'power off' },
  // Entered by PVH, with page tables of three levels, and by the 32-bit boot protocol, with two levels and large pages.
  { package: KERNEL_686_PAE, form: 'bzImage', end: 'power off', machine: 'i686' },
  { package: KERNEL_686, form: 'vmlinux', end: 'reboot', machine: 'i686' },
];

/** The command that ends the guest, where /init does not do it, and the status that crosvm exits with. */
const ENDS = {
  'power off': { commands: [], status: 0 },
  reboot: { commands: ['reboot -f'], status: 32 },
  panic: {
    commands: ['for m in pvpanic.* pvpanic-pci.*; do insmod $m; done; echo c >/proc/sysrq-trigger'],
    status: 34,
  },
} as const;

/** Declares the tests. */
export function testLinuxBoots(hypervisor: 'soft' | 'kvm'): void {
  for (const boot of BOOTS) testLinuxBoot(boot, hypervisor);
  testFirmware(hypervisor);
}

/** Declares the test of one boot. `hypervisor`: its name, and more options of `crosvm run`. */
export function testLinuxBoot(boot: Boot, ...hypervisor: readonly string[]): void {
  test(`${boot.package} as ${boot.form} boots on ${hypervisor.join(' ')} to ${boot.end}`, async (t) => {
    // Not every archive has 32-bit kernels: Debian had them last in release 12.
    if (boot.machine === 'i686') {
      const reason = await missing32BitGuest(boot);
      if (reason !== undefined) return t.skip(reason);
    }
    await testBoot(t, boot, hypervisor);
  });
}

async function testBoot(t: TestContext, boot: Boot, hypervisor: readonly string[]): Promise<void> {
  const { machine = 'x86_64' } = boot;
  const { commands, status } = ENDS[boot.end];
  const kernel = await kernelOf(boot);
  const asked = guestCommands(machine);
  const job = { kind: 'commands', commands: [...asked.map((c) => c.command), ...commands] } as const;
  const files = boot.end === 'panic' ? await panicModules(boot.package) : [];
  const initrd = await guestInitramfs(job, files, ARCHITECTURES[machine]);
  const words = ['run', '--hypervisor', ...hypervisor, '--extended-status', '--initrd', initrd];
  const finished = await finish(CROSVM, [...words, '-p', 'panic=-1 cryptomgr.notests', kernel]);
  const outputs = commandOutputs(finished);
  for (const [i, { name, check }] of asked.entries()) {
    await t.test(name, () => {
      assert.ok(outputs[i] !== undefined, `no answer; the console ends with\n${finished.console.slice(-3000)}`);
      assert.equal(outputs[i].status, 0, outputs[i].output);
      check(outputs[i].output);
    });
  }
  await t.test(`${boot.end} ends the VM with ${status}`, () =>
    assert.equal(finished.status, status, finished.console.slice(-3000) + finished.stderr),
  );
}

const ARCHITECTURES = { x86_64: 'amd64', i686: 'i386' } as const;

/** Why the 32-bit guest cannot be had; undefined if it can. */
async function missing32BitGuest(boot: Boot): Promise<string | undefined> {
  try {
    await fetchKernel(boot.package, 'i386');
    await fetchBusybox('i386');
    return undefined;
  } catch (error) {
    return `there is no 32-bit guest: ${error instanceof Error ? error.message : error}`;
  }
}

async function kernelOf(boot: Boot): Promise<string> {
  const bzImage = await fetchKernel(boot.package, ARCHITECTURES[boot.machine ?? 'x86_64']);
  return boot.form === 'bzImage' ? bzImage : vmlinuxOf(bzImage);
}

async function panicModules(kernel: string): Promise<GuestFile[]> {
  const paths = await fetchModules('pvpanic', kernel);
  return paths.map((path) => ({ name: basename(path), data: readFileSync(path) }));
}

function testFirmware(hypervisor: 'soft' | 'kvm'): void {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-boot-'));
  after(() => rmSync(folder, { recursive: true }));

  test(`a ROM runs on ${hypervisor} from the reset vector to power off`, async () => {
    const path = join(folder, 'rom');
    const sleepEnableS5 = 1 << 13;
    writeFileSync(path, rom(print('from the ROM\n'), outWord(PM_PORT + PM1_CONTROL_OFFSET, sleepEnableS5)));
    const words = ['run', '--hypervisor', hypervisor, '--extended-status', '-m', '16', '--bios', path];
    assert.deepEqual(await finish(CROSVM, words), { status: 0, console: 'from the ROM\n', stderr: '' });
  });
}
