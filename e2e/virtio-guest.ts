/** A Linux guest with Debian's virtio drivers, and a disk for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL, fetchKernel, fetchModules } from '../tools/guest-packages.ts';
import { type CommandOutput, CROSVM, commandOutputs, type Finished, finish } from './linux-guest.ts';

export interface VirtioGuest {
  readonly finished: Finished;
  /** What each command printed, and its exit status. */
  readonly outputs: readonly CommandOutput[];
}

/** Boots Debian's kernel on the software CPU with `words` for crosvm, loads the drivers and runs the commands. */
export async function runVirtioGuest(words: readonly string[], commands: readonly string[]): Promise<VirtioGuest> {
  const initrd = await virtioInitramfs(commands);
  const kernel = await fetchKernel(CLOUD_KERNEL);
  const options = ['--hypervisor', 'soft', '--initrd', initrd, '-p', 'panic=-1 cryptomgr.notests'];
  const finished = await finish(CROSVM, ['run', ...options, ...words, kernel]);
  return { finished, outputs: commandOutputs(finished).slice(1) };
}

/** The path of an initramfs that loads the drivers, as its first command, and runs the others. */
export async function virtioInitramfs(commands: readonly string[]): Promise<string> {
  const modules = await fetchModules('virtio');
  const files = modules.map((path) => ({ name: basename(path), data: readFileSync(path) }));
  const load = `for m in ${files.map(({ name }) => name).join(' ')}; do insmod $m || exit; done; mkdir -p /mnt`;
  return guestInitramfs({ kind: 'commands', commands: [load, ...commands] }, files);
}

/** Why a test that needs these programs cannot run; undefined if it can. */
export function missingProgram(...programs: readonly string[]): string | undefined {
  const missing = programs.find((program) => spawnSync(program, ['--version']).error !== undefined);
  return missing === undefined ? undefined : `${missing} is not installed`;
}

/** Makes a file of `mib` MiB with an ext4 file system, empty or of what is in `folder`. */
export function makeExt4(path: string, mib: number, folder?: string): void {
  writeFileSync(path, '');
  truncateSync(path, mib << 20);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', ...(folder === undefined ? [] : ['-d', folder]), path]);
}

/** A file in an ext4 image. */
export function readExt4(image: string, path: string): Buffer {
  return execFileSync('debugfs', ['-R', `cat ${path}`, image], {
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 << 20,
  });
}

/** Throws if the file system in the image is not sound. */
export function checkExt4(image: string): void {
  execFileSync('e2fsck', ['-f', '-n', image], { stdio: ['ignore', 'pipe', 'pipe'] });
}
