/** For tests: vector instructions executed by the host's own CPU, through a C program that is compiled for it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Offsets in the record that the C program takes and gives back (struct record). */
export const RECORD = {
  code: 0,
  length: 16,
  mxcsr: 20,
  /** 0, or the number of the signal that the instruction raised. */
  fault: 24,
  /** XMM0-2, then 16 bytes that RDI points to. */
  xmm: 32,
  memory: 80,
  mm: 96,
  rax: 112,
  rdx: 120,
  rcx: 128,
  rbx: 136,
  rsi: 144,
  rflags: 152,
  size: 160,
} as const;

/** Runs the instructions, one after another in `input`, and returns the records as they leave them. */
export function runOnHost(input: Uint8Array): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'vector-'));
  try {
    const program = join(folder, 'vector-host');
    const source = fileURLToPath(new URL('./vector-host.c', import.meta.url));
    execFileSync('gcc', ['-O1', '-mno-red-zone', '-fcf-protection=none', '-o', program, source]);
    return execFileSync(program, { input, maxBuffer: input.length + 1 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
