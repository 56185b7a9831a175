/**
 * Disk images beside qemu-img: `node bench/disk.ts [--pairs N] [--folder PATH] [--json]`. The folder should be on a disk,
 * and needs 3 GB.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectFolder } from '../tools/setup.js';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed, type Sample } from './comparison.ts';
import { type Requests, runRequests } from './disk-requests.ts';
import { cpuSecondsOfTree } from './process-usage.ts';
import { machineLine, table } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    folder: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});
const pairs = Number(values.pairs);
const machine = machineLine();

const SIZE = 1 << 30;
/** 4 KiB requests far from each other: a prime number of pages. */
const STRIDE = 7919 * 4096;
const ZSTD = ['-o', 'compression_type=zstd'];
const CROSVM = join(projectFolder, 'bin', 'crosvm');

const folder = mkdtempSync(join(values.folder, 'crosvm-disk-'));
try {
  makeImages();
  // First, as the others overwrite the images with zeroes.
  const convert = [compareConvert('plain', [], []), compareConvert('zstd', ['--compress', ...ZSTD], ['-c', ...ZSTD])];
  const random = requestKinds(4096, STRIDE, ['qcow2'], [1, 16]).map(compareRequests);
  const sequential = requestKinds(1 << 20, 1 << 20, ['raw', 'qcow2'], [1]).map(compareRequests);
  const comparisons = [...random, ...sequential, ...convert];
  const findings = [
    finding('disk-random', meanSpeed(random)),
    finding('disk-sequential', meanSpeed(sequential)),
    finding('disk-convert', meanSpeed(convert)),
    finding('disk-memory', measureMemory()),
  ];
  const header = COMPARISON_HEADER('crosvm', 'qemu-img');
  printResult({ machine, findings, comparisons }, values.json, [table(header, comparisons.map(comparisonRow))]);
} finally {
  rmSync(folder, { recursive: true });
}

function path(name: string): string {
  return join(folder, name);
}

/** A raw image of text-like data with holes, and a full one in both formats. */
function makeImages(): void {
  const chunk = Buffer.alloc(1 << 20);
  const raw = openSync(path('image.raw'), 'w');
  for (let i = 0; i < SIZE >> 20; i++) {
    for (let at = 0, state = i + 1; at < chunk.length; at += 32) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      chunk.write(`line ${state % 10007} of some text ......\n`, at, 32, 'latin1');
    }
    writeSync(raw, chunk, 0, chunk.length, i << 20);
  }
  closeSync(raw);
  qemuImg('convert', '-O', 'qcow2', path('image.raw'), path('image.qcow2'));
}

function qemuImg(...words: string[]): string {
  return execFileSync('qemu-img', words, { encoding: 'utf8' });
}

function requestKinds(
  length: number,
  step: number,
  formats: readonly Requests['format'][],
  depths: readonly number[],
): Requests[] {
  const all: Requests[] = [];
  for (const format of formats) {
    for (const direct of [false, true]) {
      for (const write of [false, true]) {
        const count = length === 4096 ? (direct ? 5_000 : 50_000) : direct ? 500 : 1_000;
        for (const depth of depths) all.push({ format, direct, write, depth, length, step, count });
      }
    }
  }
  return all;
}

function compareRequests(requests: Requests): Comparison {
  const { format, write, depth, length, direct } = requests;
  const kind = `${length / 1024} KiB ${write ? 'writes' : 'reads'}`;
  const name = `${format}, ${kind}, ${depth} at a time, ${direct ? 'past the page cache' : 'page cache'}`;
  const file = path(`image.${format}`);
  if (!direct) warm(file);
  return inTurns(
    name,
    () => runRequests(file, SIZE, requests),
    () => benchOfQemu(file, requests),
  );
}

/** Brings a file into the page cache, where the work before may have taken it out. */
function warm(file: string): void {
  const chunk = Buffer.alloc(1 << 20);
  const fd = openSync(file, 'r');
  while (readSync(fd, chunk) > 0);
  closeSync(fd);
}

function benchOfQemu(file: string, { format, write, count, length, step, depth, direct }: Requests): Sample {
  const cache = direct ? 'none' : 'writeback';
  const numbers = ['-c', `${count}`, '-d', `${depth}`, '-s', `${length}`, '-S', `${step}`];
  const before = cpuSecondsOfTree(process.pid);
  const output = qemuImg('bench', '-f', format, '-t', cache, ...numbers, ...(write ? ['-w'] : []), file);
  const seconds = Number(/completed in ([\d.]+) seconds/.exec(output)?.[1]);
  return { seconds, cpuSeconds: cpuSecondsOfTree(process.pid) - before };
}

function compareConvert(name: string, ourWords: readonly string[], theirWords: readonly string[]): Comparison {
  const [from, to] = [path('image.raw'), path('converted.qcow2')];
  return inTurns(
    `convert, ${name}`,
    () => timed(to, process.execPath, [CROSVM, 'image', 'convert', ...ourWords, from, to]),
    () => timed(to, 'qemu-img', ['convert', '-O', 'qcow2', ...theirWords, from, to]),
  );
}

/** A whole process that makes the file `made`. */
function timed(made: string, program: string, words: readonly string[]): Sample {
  rmSync(made, { force: true });
  const before = cpuSecondsOfTree(process.pid);
  const start = performance.now();
  execFileSync(program, words);
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: cpuSecondsOfTree(process.pid) - before };
}

function inTurns(name: string, ours: () => Sample, theirs: () => Sample): Comparison {
  const samples: { ours: Sample[]; theirs: Sample[] } = { ours: [], theirs: [] };
  for (let pair = 0; pair < pairs; pair++) {
    console.error(`${name}: ${pair + 1} of ${pairs}`);
    samples.ours.push(ours());
    samples.theirs.push(theirs());
  }
  return { name, ...samples };
}

function measureMemory(): number {
  const image = path('big.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', image, '1T');
  return Number(
    execFileSync(process.execPath, [join(projectFolder, 'bench', 'disk-memory.ts'), image], { encoding: 'utf8' }),
  );
}
