/**
 * Everything that has a goal, one after the other: `npm run bench -- [NAME...] [--pairs N] [--boots N] [--json]`, with
 * --list the names and commands. Each benchmark is a program of its own, whose tables go to standard error as they come.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectFolder } from '../tools/setup.js';
import { COMPARISON_HEADER, comparisonRow } from './comparison.ts';
import { table } from './report.ts';
import { type Finding, findingsTable, type Result } from './result.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: 'string', default: '5' },
    boots: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});

const pairs = ['--pairs', values.pairs];
const BENCHMARKS: Readonly<Record<string, readonly string[]>> = {
  boot: ['boot.ts', ...pairs],
  integer: ['guest.ts', 'integer', ...pairs],
  float: ['guest.ts', 'float', ...pairs],
  process: ['guest.ts', 'process', ...pairs],
  smp: ['smp.ts', ...pairs],
  guest32: ['guest32.ts', ...pairs],
  disk: ['disk.ts', ...pairs],
  'virtio-block': ['virtio-block.ts', ...pairs],
  'guest-fs': ['guest-fs.ts', ...pairs],
  io: ['guest-io.ts', ...pairs],
  'virtio-fs': ['virtio-fs.ts', ...pairs],
  'fs-memory': ['fs-memory.ts'],
  jail: ['jail.ts'],
  boots: ['boots.ts', '--boots', values.boots],
};

const unknown = positionals.filter((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown.length > 0) throw new Error(`no ${unknown.join(', ')}; there are ${Object.keys(BENCHMARKS).join(', ')}`);
const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);

if (values.list) for (const name of names) console.log(`${name.padEnd(12)} node bench/${BENCHMARKS[name]!.join(' ')}`);
else await runAll();

async function runAll(): Promise<void> {
  const findings: Finding[] = [];
  const results: Record<string, Result> = {};
  for (const name of names) {
    console.error(`== ${name}`);
    const result = await runOne(BENCHMARKS[name]!);
    // One that fails says why by itself; the others are still worth having.
    if (result === undefined) process.exitCode = 1;
    else {
      results[name] = result;
      findings.push(...result.findings);
      const rows = result.comparisons.map(comparisonRow);
      console.error(`${result.machine}\n\n${table(COMPARISON_HEADER('ours', 'theirs'), rows)}`);
    }
  }
  console.log(values.json ? JSON.stringify(results) : findingsTable(findings));
}

/** What it printed; undefined when it printed no result. Its status says whether the benchmark's own demands were met. */
function runOne([script = '', ...words]: readonly string[]): Promise<Result | undefined> {
  const child = spawn(process.execPath, [join(projectFolder, 'bench', script), ...words, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(text === '' ? undefined : JSON.parse(text)));
  });
}
