// `npm test`: everything that must hold, in the order in which it fails fastest. Runs on Node 20 with nothing installed
// yet. Its last line is `N passed, N failed, N skipped`, over all runs of node:test.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { step } from './progress.js';
import { inOurPlace, output } from './run.js';
import { projectFolder, setUp } from './setup.js';

/** Programs and libraries that tests check against, and the Debian packages that hold them. */
const REFERENCES = [
  { file: '/usr/include/seccomp.h', packages: ['libseccomp-dev'] },
  { program: 'as', packages: ['binutils'] },
  { program: 'gcc', packages: ['gcc', 'libc6-dev'] },
  { program: 'iasl', packages: ['acpica-tools'] },
  { program: 'cpio', packages: ['cpio'] },
  { program: 'lz4', packages: ['lz4'] },
  { program: 'xz', packages: ['xz-utils'] },
  { program: 'zstd', packages: ['zstd'] },
  { program: 'qemu-system-x86_64', packages: ['qemu-system-x86'] },
  { program: 'qemu-img', packages: ['qemu-utils'] },
  { program: 'qemu-storage-daemon', packages: ['qemu-system-common'] },
  { program: 'mke2fs', packages: ['e2fsprogs'] },
  { program: 'passt', packages: ['passt'] },
  { program: 'mmdebstrap', packages: ['mmdebstrap'] },
  { program: 'diodls', packages: ['diod'] },
];

/** Patterns of node:test, and how many files may run at a time: left to itself it does not use all CPUs. */
const RUNS = [
  {
    name: 'unit tests',
    patterns: ['src/**/*.test.ts', 'tools/**/*.test.ts', 'bench/**/*.test.ts'],
    concurrency: availableParallelism(),
  },
  // A guest takes hundreds of megabytes, and more than one CPU while much of it is compiled.
  { name: 'e2e tests', patterns: ['e2e/**/*.test.ts'], concurrency: Math.min(availableParallelism(), 4) },
];

try {
  process.exit(await testAll());
} catch (error) {
  console.error(`npm test: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

async function testAll() {
  const node = await setUp();
  await installReferences();
  const bin = (/** @type {string} */ name) => join(projectFolder, 'node_modules', '.bin', name);
  let ok = await check('format and lint', node, [bin('biome'), 'ci', '.']);
  ok = (await check('types', node, [bin('tsc')])) && ok;
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const run of RUNS) {
    const counts = await runTests(node, run);
    ok = counts.ok && ok;
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return ok ? 0 : 1;
}

/**
 * @param {string} name
 * @param {string} node
 * @param {string[]} args
 */
async function check(name, node, args) {
  console.log(`\n== ${name}`);
  const status = await inOurPlace(node, args, { cwd: projectFolder });
  if (status !== 0) console.log(`${name}: failed`);
  return status === 0;
}

/**
 * @param {string} node
 * @param {{ name: string, patterns: string[], concurrency: number }} run
 * @returns {Promise<{ ok: boolean, passed: number, failed: number, skipped: number }>}
 */
async function runTests(node, { name, patterns, concurrency }) {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-test-'));
  const results = join(folder, 'counts');
  const reporters = ['spec', 'stdout', `./tools/test-counts.js`, results];
  const flags = reporters.map((value, i) => `--test-reporter${i % 2 === 0 ? '' : '-destination'}=${value}`);
  flags.push(`--test-concurrency=${concurrency}`);
  try {
    const ok = await check(name, node, ['--test', ...flags, ...patterns]);
    // A run that ended before it could count is one failure.
    const text = existsSync(results) ? readFileSync(results, 'utf8').trim() : '';
    return { ok: ok && text !== '', ...JSON.parse(text || '{"passed":0,"failed":1,"skipped":0}') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Tests that need a program which stays missing skip themselves and say so. */
async function installReferences() {
  const isThere = (/** @type {{ file?: string, program?: string }} */ { file, program = '' }) =>
    file === undefined ? isOnPath(program) : existsSync(file);
  const packages = REFERENCES.filter((reference) => !isThere(reference)).flatMap((reference) => reference.packages);
  if (packages.length === 0) return;
  const list = packages.join(' ');
  if (process.getuid?.() !== 0 || !isOnPath('apt-get')) {
    console.error(`Some tests will be skipped; to run them: apt-get install ${list}`);
    return;
  }
  const install = ['install', '-qq', '--no-install-recommends', ...packages];
  try {
    await step(`Installing ${list}`, async () => {
      await output('apt-get', ['update', '-qq']);
      await output('apt-get', install);
    });
  } catch (error) {
    console.error(`Some tests will be skipped: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {string} program */
function isOnPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}
