/** v86, a PC with a 32-bit processor in WebAssembly, as a contender: the npm package, and the firmware from Debian. */
import { join } from 'node:path';
import { cachedFolder } from '../tools/cache.ts';
import { debianArchive } from '../tools/debian-archive.ts';
import { step } from '../tools/progress.js';
import { output } from '../tools/run.js';
import { projectFolder } from '../tools/setup.js';
import { type Contender, kernelCommandLine } from './contenders.ts';

const VERSION = '0.5.462';

/** Fetches it into the cache, unless it is there. Needs npm. */
export async function fetchV86(): Promise<Contender> {
  const installed = await cachedFolder(`bench/v86-${VERSION}`, async (target) => {
    const quiet = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
    await step(`Downloading v86 ${VERSION}`, () =>
      output('npm', ['install', ...quiet, '--prefix', target, `v86@${VERSION}`]),
    );
  });
  const firmware = await cachedFolder('bench/seabios', async (target) => {
    const archive = debianArchive();
    const files = ['*/seabios/bios.bin', '*/seabios/vgabios-stdvga.bin'];
    await archive.fetch(() => archive.lookUpAll(['seabios']), target, files);
  });
  return {
    name: 'v86',
    program: process.execPath,
    // The guest's memory is one of WebAssembly, whose mapping has no name.
    ram: '[anon:v86]',
    linux: (guest) => [
      join(projectFolder, 'bench', 'v86-runner.ts'),
      ...[join(installed, 'node_modules', 'v86', 'build'), firmware],
      ...[guest.kernel, guest.initrd, kernelCommandLine(guest), `${guest.memory}`],
    ],
  };
}
