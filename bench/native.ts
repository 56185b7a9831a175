/** Workloads on the processor of this machine, for what they must print. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchBusybox } from '../tools/guest-packages.ts';
import type { WorkloadGroup } from './workloads.ts';

/** What the workloads print, in their order, run by the shell and the programs that the guest has. */
export async function nativeOutputs({ files, setup, workloads }: WorkloadGroup): Promise<string[]> {
  const busybox = await fetchBusybox();
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-bench-'));
  const bin = join(folder, 'bin');
  const run = (program: string, words: readonly string[], cwd: string) => {
    const { status, stdout, stderr, error } = spawnSync(program, words, { cwd, env: { PATH: bin }, encoding: 'utf8' });
    if (status !== 0) throw error ?? new Error(`${words.join(' ')} failed on this machine: ${stderr}`);
    return stdout;
  };
  try {
    mkdirSync(bin);
    run(busybox, ['--install', '-s', bin], folder);
    for (const { name, data, executable } of files) {
      writeFileSync(join(folder, name), data, { mode: executable === true ? 0o755 : 0o644 });
    }
    for (const command of setup) run(busybox, ['sh', '-c', command], folder);
    return workloads.map(({ command }) => run(busybox, ['sh', '-c', command], folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
