/** The programs of bench/guest-programs/, compiled for guests: static, for any x86-64 processor. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedFolder } from '../tools/cache.ts';
import type { GuestFile } from '../tools/initramfs.ts';
import { output } from '../tools/run.js';
import { projectFolder } from '../tools/setup.js';

/** No vectors but where the source has them: what is called scalar must be. */
const FLAGS = ['-std=gnu11', '-O2', '-static', '-fno-tree-vectorize', '-Wall', '-Wextra', '-Werror'];

/** Compiles `bench/guest-programs/NAME.c` with gcc, unless the cache has the program already. */
export async function compileGuestProgram(name: string): Promise<GuestFile> {
  const source = join(projectFolder, 'bench', 'guest-programs', `${name}.c`);
  const version = await output('gcc', ['--version']);
  const digest = createHash('sha256').update(readFileSync(source)).update(version).update(FLAGS.join()).digest('hex');
  const folder = await cachedFolder(`bench/${name}-${digest.slice(0, 16)}`, async (target) => {
    await output('gcc', [...FLAGS, '-o', join(target, name), source, '-lm']);
  });
  return { name, data: readFileSync(join(folder, name)), executable: true };
}
