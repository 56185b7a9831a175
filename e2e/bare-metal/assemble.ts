import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PRELUDE } from './prelude.ts';

/** Why guests cannot be assembled here, or false if they can. */
export function assemblerMissing(): string | false {
  const found = ['as', 'objcopy'].every((tool) => spawnSync(tool, ['--version']).status === 0);
  return found ? false : 'no GNU as and objcopy here: install binutils';
}

/**
 * GNU assembler text to a flat image for address ORIGIN, with the macros of `PRELUDE` before it. Nothing is linked: a
 * guest refers to its own labels by `at(label)`.
 */
export function assemble(source: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'bare-metal-'));
  try {
    const path = (name: string) => join(folder, name);
    writeFileSync(path('guest.s'), `${PRELUDE}\n${source}\n`);
    run('as', ['--64', '-o', path('guest.o'), path('guest.s')]);
    run('objcopy', ['-O', 'binary', '-j', '.text', path('guest.o'), path('guest.bin')]);
    return new Uint8Array(readFileSync(path('guest.bin')));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(tool: string, args: string[]): void {
  const result = spawnSync(tool, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${tool} failed: ${result.stderr}`);
}
