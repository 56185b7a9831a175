// Makes a fresh clone ready: npm packages, and a Node that is new enough. Runs on Node 20 with nothing installed yet, so
// it uses Node's own library only. Takes a few milliseconds when nothing is missing.
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { step } from './progress.js';
import { output } from './run.js';

/** The oldest major version of Node that runs our sources. */
const NODE_MAJOR = 24;

export const projectFolder = fileURLToPath(new URL('..', import.meta.url));

/**
 * The path of a Node that runs our sources: the one that runs now or the one that set-up has added; undefined when
 * neither will do.
 *
 * @returns {string | undefined}
 */
export function node24() {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR) return process.execPath;
  return existsSync(addedNode()) ? addedNode() : undefined;
}

/** Where set-up puts a Node. */
function addedNode() {
  return join(projectFolder, 'node_modules', nodePackage(), 'bin', 'node');
}

/**
 * Installs what is missing. Resolves with the path of a Node that runs our sources.
 *
 * @returns {Promise<string>}
 */
export async function setUp() {
  const packages = packagesAreInstalled();
  if (packages && node24() !== undefined) return /** @type {string} */ (node24());
  const needsNode = node24() === undefined;
  // One that is there is named again: npm takes away what neither a file nor the command line names.
  const added = needsNode || existsSync(addedNode()) ? [`${nodePackage()}@${NODE_MAJOR}`] : [];
  const what = [
    ...(packages ? [] : ['npm packages']),
    ...(needsNode ? [`a Node ${NODE_MAJOR} for this project (this is ${process.version})`] : []),
  ];
  // Not `npm ci`: that refuses a lock file which lacks an optional package for some other platform.
  await npm(`Installing ${what.join(' and ')}`, ['install', '--no-save', ...added]);
  const node = node24();
  if (node === undefined) throw new Error(`npm has not installed a Node ${NODE_MAJOR}; install one by hand`);
  return node;
}

/** Whether every dependency of package.json is there in the version that it pins. */
function packagesAreInstalled() {
  const { dependencies, devDependencies } = readJson(join(projectFolder, 'package.json'));
  return Object.entries({ ...dependencies, ...devDependencies }).every(([name, version]) => {
    const file = join(projectFolder, 'node_modules', name, 'package.json');
    return existsSync(file) && readJson(file).version === version;
  });
}

/** The npm package that holds nothing but the binary of Node for this kind of machine. */
function nodePackage() {
  return `node-${process.platform}-${process.arch}`;
}

/**
 * @param {string} text
 * @param {string[]} args
 */
async function npm(text, args) {
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  try {
    await step(text, () => output('npm', [...args, ...quiet], { cwd: projectFolder }));
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
    throw new Error('npm is not on the path; install it, or run `npm install` elsewhere and copy node_modules here');
  }
}

/**
 * @param {string} path
 * @returns {{ version?: string, dependencies?: Record<string, string>, devDependencies?: Record<string, string> }}
 */
function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await setUp().catch((error) => {
    console.error(`set-up: ${error.message}`);
    process.exitCode = 1;
  });
}
