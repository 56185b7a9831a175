/** For tests: x87 instructions executed by the host's own CPU, through a C program that is compiled for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Offsets in the state that the C program takes and gives back (struct state). */
export const STATE = { fxsave: 0, code: 512, flags: 520, rax: 528, memory: 536, size: 688 } as const;

/** Why the host cannot be asked; undefined if it can. */
export function hostMissing(): string | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'the host is not x86-64 Linux';
  return spawnSync('gcc', ['--version']).status === 0 ? undefined : 'gcc is not installed';
}

/** Whether the host is by AMD, as the CPU that this one claims to be. Intel's differ in some of what is not defined. */
export function isHostAmd(): boolean {
  return readFileSync('/proc/cpuinfo', 'latin1').includes('AuthenticAMD');
}

/** Runs the states, one after another in `input`, and returns them as the instructions leave them. */
export function runOnHost(input: Uint8Array): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'x87-'));
  try {
    const program = join(folder, 'x87-host');
    const source = fileURLToPath(new URL('./x87-host.c', import.meta.url));
    execFileSync('gcc', ['-O1', '-mno-red-zone', '-fcf-protection=none', '-o', program, source]);
    return execFileSync(program, { input, maxBuffer: input.length + 1 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
