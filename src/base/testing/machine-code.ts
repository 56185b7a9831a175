import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why `machineCodeOf` cannot tell here; undefined if it can. */
export function noAssembler(): string | undefined {
  return spawnSync('as', ['--version']).status === 0 ? undefined : 'no GNU as here: install binutils';
}

/** What GNU as makes of a file, in hexadecimal digits. */
export function machineCodeOf(path: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'machine-code-'));
  try {
    const [object, code] = [join(folder, 'object'), join(folder, 'code')];
    execFileSync('as', ['--64', '-o', object, path]);
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, code]);
    return readFileSync(code, 'hex');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The digits that stand in a source file, in lines of their own. */
export function digitsIn(path: string): string {
  const lines = readFileSync(path, 'utf8').match(/^ *'([0-9a-f]{20,})'/gm) ?? [];
  return lines.map((line) => line.replace(/[^0-9a-f]/g, '')).join('');
}
