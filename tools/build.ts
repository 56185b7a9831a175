/**
 * Builds the package that is published, in dist/: `npm run build`. One bundle for each process and thread entry, so
 * that a start loads two files instead of two hundred; what a run may not need stays in files of its own.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { projectFolder } from './setup.js';

const from = (...path: string[]) => join(projectFolder, ...path);
const dist = from('dist');

rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, 'lib'), { recursive: true });
await build({
  entryPoints: {
    main: from('src/cli/main.ts'),
    'vcpu-worker-entry': from('src/vm/vcpu-worker-entry.js'),
    'packing-entry': from('src/base/packing-entry.js'),
    'device-entry': from('src/vm/devices/device-entry.js'),
    'zygote-entry': from('src/vm/devices/zygote-entry.js'),
    'spawned-entry': from('src/vm/devices/spawned-entry.js'),
    'root-entry': from('src/vm/devices/root-entry.js'),
  },
  outdir: join(dist, 'lib'),
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: ['koffi'],
  logLevel: 'warning',
});
for (const path of ['bin/crosvm', 'tools/run.js', 'tools/setup.js', 'tools/progress.js', 'README.md', 'LICENSE']) {
  cpSync(from(path), join(dist, path));
}
cpSync(from('seccomp'), join(dist, 'seccomp'), { recursive: true });
const { name, version, description, license, type, engines, bin, dependencies } = JSON.parse(
  readFileSync(from('package.json'), 'utf8'),
);
const manifest = { name, version, description, license, type, engines, bin, dependencies };
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
