/** The Debian system of docs/debian.md, made by the commands that stand there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedFolder } from './cache.ts';
import { step } from './progress.js';
import { output } from './run.js';
import { projectFolder } from './setup.js';

export interface DebianSystem {
  /** Holds the system as `debian`, its disk `debian.img`, `vmlinuz` and `initrd.img`: to be read only. */
  readonly folder: string;
  /** The words of the command that runs it in that folder, from `run` on. */
  readonly words: readonly string[];
}

/** The blocks of commands in a text in Markdown: lines that are indented by 4. */
export function commandsOf(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^ {4}\S.*\n(?: {4}.*\n)*/gm)];
  return blocks.map(([block]) => block.replaceAll(/^ {4}/gm, ''));
}

/** The system, made once and kept in the cache. Needs root, mmdebstrap, and Debian's archive. */
export async function debianSystem(): Promise<DebianSystem> {
  const [, make = '', run = ''] = commandsOf(readFileSync(join(projectFolder, 'docs', 'debian.md'), 'utf8'));
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(make))).toString('hex');
  const folder = await cachedFolder(`guest/debian-${digest.slice(0, 16)}`, (target) =>
    step('Making a Debian system', async () => void (await output('sh', ['-e', '-c', make], { cwd: target }))),
  );
  const [, ...words] = run.trim().split(' ');
  return { folder, words };
}
