/** A Linux guest with Debian's virtio drivers, and a disk for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { closeAll } from '../src/base/fd.ts';
import { IoUring } from '../src/base/io-uring.ts';
import { makeTap } from '../src/base/tap.ts';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL, fetchKernel, fetchModules, type ModuleSet } from '../tools/guest-packages.ts';
import type { GuestFile } from '../tools/initramfs.ts';
import { type CommandOutput, CROSVM, commandOutputs, type Finished, finish } from './linux-guest.ts';

const ring = IoUring.open(1);
ring?.close();
/** To be added to a disk: its requests are carried out by io_uring, where the host has it. */
export const URING = ring === undefined ? '' : ',async-executor=uring';

export interface VirtioGuest {
  readonly finished: Finished;
  /** What each command printed, and its exit status. */
  readonly outputs: readonly CommandOutput[];
}

/** Boots Debian's kernel on the software CPU with `words` for crosvm, loads the drivers and runs the commands. */
export async function runVirtioGuest(
  words: readonly string[],
  commands: readonly string[],
  extras?: GuestExtras,
): Promise<VirtioGuest> {
  const finished = await finish(CROSVM, await virtioGuestWords(words, commands, extras));
  return { finished, outputs: commandOutputs(finished).slice(1) };
}

/** The command line that does this. */
export async function virtioGuestWords(
  words: readonly string[],
  commands: readonly string[],
  extras?: GuestExtras,
): Promise<string[]> {
  const initrd = await virtioInitramfs(commands, extras);
  const kernel = await fetchKernel(extras?.kernel);
  const options = ['--hypervisor', 'soft', '--initrd', initrd, '-p', 'panic=-1 cryptomgr.notests'];
  return ['run', ...options, ...words, kernel];
}

/** What a guest has besides the kernel and its virtio drivers. */
export interface GuestExtras {
  /** The package of its kernel. */
  readonly kernel?: string;
  /** Sets of modules to load. */
  readonly modules?: readonly ModuleSet[];
  readonly files?: readonly GuestFile[];
}

/** The path of an initramfs that loads the drivers, as its first command, and runs the others. */
export async function virtioInitramfs(
  commands: readonly string[],
  { kernel = CLOUD_KERNEL, modules = [], files = [] }: GuestExtras = {},
): Promise<string> {
  const paths = (await Promise.all((['virtio', ...modules] as const).map((set) => fetchModules(set, kernel)))).flat();
  const drivers = paths.map((path) => ({ name: basename(path), data: readFileSync(path) }));
  const load = `for m in ${drivers.map(({ name }) => name).join(' ')}; do insmod $m || exit; done; mkdir -p /mnt`;
  return guestInitramfs({ kind: 'commands', commands: [load, ...commands] }, [...drivers, ...files]);
}

/** Why a test that needs these programs cannot run; undefined if it can. */
export function missingProgram(...programs: readonly string[]): string | undefined {
  const missing = programs.find((program) => spawnSync(program, ['--version']).error !== undefined);
  return missing === undefined ? undefined : `${missing} is not installed`;
}

/** How an ext4 file system is made: of what is in `folder` instead of empty, with blocks of `blockSize` bytes. */
export interface Ext4Options {
  readonly folder?: string;
  readonly blockSize?: number;
}

/** Makes a file of `mib` MiB with an ext4 file system. */
export function makeExt4(path: string, mib: number, { folder, blockSize }: Ext4Options = {}): void {
  writeFileSync(path, '');
  truncateSync(path, mib << 20);
  const options = [
    ...(folder === undefined ? [] : ['-d', folder]),
    ...(blockSize === undefined ? [] : ['-b', `${blockSize}`]),
  ];
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', ...options, path]);
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

/** Why no TAP device can be made here; undefined if one can. */
export function noTap(): string | undefined {
  try {
    closeAll(makeTap('crosvmtest%d', 1));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
