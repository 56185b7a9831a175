/** Folders that hold as much of a Debian system as a guest needs to start from them. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fetchBusybox, fetchKernel, fetchModules, type ModuleSet } from '../../tools/guest-packages.ts';
import { fetchTree } from '../../tools/guest-program.ts';

/** What a system needs at least. */
const BASE = ['base-files', 'bash', 'perl-base'];

/** Makes the folder `root` of these packages, what they need, and busybox. */
export async function makeRootFolder(root: string, packages: readonly string[] = []): Promise<void> {
  cpSync(await fetchTree([...BASE, ...packages]), root, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(root, 'sbin'), { recursive: true });
  const busybox = join(root, 'bin', 'busybox');
  copyFileSync(await fetchBusybox(), busybox);
  chmodSync(busybox, 0o755);
  if (!existsSync(join(root, 'bin', 'sh'))) symlinkSync('bash', join(root, 'bin', 'sh'));
}

/** Puts modules of a kernel into the folder, with the lists that installing its package makes of them. */
export async function installModules(root: string, kernel: string, sets: readonly ModuleSet[]): Promise<void> {
  const release = basename(await fetchKernel(kernel)).replace('vmlinuz-', '');
  const modules = join(root, 'lib', 'modules', release);
  mkdirSync(join(modules, 'kernel'), { recursive: true });
  for (const path of (await Promise.all(sets.map((set) => fetchModules(set, kernel)))).flat()) {
    copyFileSync(path, join(modules, 'kernel', basename(path)));
  }
  execFileSync(join(root, 'bin', 'busybox'), ['depmod', '-b', root, release]);
}
