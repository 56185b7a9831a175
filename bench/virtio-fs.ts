/**
 * The data path of a file system device alone: a driver without a guest makes requests, one at a time, of our back end and of
 * Debian's virtiofsd, in turns, on the same kind of folder:
 *
 *     node bench/virtio-fs.ts [--requests N] [--pairs N] [--json]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FuseClient } from '../src/fuse/testing/fuse-client.ts';
import { O_RDWR } from '../src/host-folder/constants.ts';
import { type StartedBackEnd, startBackEnd } from './back-end.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed, type Sample } from './comparison.ts';
import { VIRTIOFSD } from './contenders.ts';
import { fuseClientOver } from './fuse-driver.ts';
import { cpuSecondsOfTree } from './process-usage.ts';
import { machineLine, table } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '5000' },
    pairs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const REQUESTS = Number(values.requests);
const PAIRS = Number(values.pairs);
const FILES = 100;
const BLOCK = 4096;
const ROOT = 1;

const folder = mkdtempSync(join('/var/tmp', 'crosvm-bench-'));
const crosvm = join(import.meta.dirname, '..', 'bin', 'crosvm');

interface Side extends StartedBackEnd {
  readonly client: FuseClient;
  /** An open file of some blocks. */
  readonly node: number;
  readonly file: number;
}

async function start(name: string, program: string, words: readonly string[]): Promise<Side> {
  const share = join(folder, name);
  const socket = join(folder, `${name}.sock`);
  mkdirSync(share);
  for (let i = 0; i < FILES; i++) writeFileSync(join(share, `file ${i}`), 'x');
  const given = words.map((word) => word.replace('SOCKET', socket).replace('SHARE', share));
  const backEnd = await startBackEnd(program, given, socket);
  const client = fuseClientOver(backEnd.frontEnd);
  client.init(31);
  const { node, file } = client.create(ROOT, 'data', O_RDWR, 0o644);
  for (let i = 0; i < FILES; i++) client.write(node.nodeid, file, i * BLOCK, block);
  return { ...backEnd, client, node: node.nodeid, file };
}

const block = new Uint8Array(BLOCK).fill(7);

/** What is measured: request number `i` of a kind. */
const WORK: Readonly<Record<string, (side: Side, i: number) => void>> = {
  'look-up': ({ client }, i) => void client.lookup(ROOT, `file ${i % FILES}`),
  getattr: ({ client, node }) => void client.attributes(node),
  'read of 4 KiB': ({ client, node, file }, i) => void client.read(node, file, (i % FILES) * BLOCK, BLOCK),
  'write of 4 KiB': ({ client, node, file }, i) => void client.write(node, file, (i % FILES) * BLOCK, block),
  'create, release, unlink, forget': ({ client }, i) => {
    const { node, file } = client.create(ROOT, `new ${i}`, O_RDWR, 0o644);
    client.release(node.nodeid, file);
    client.unlink(ROOT, `new ${i}`);
    client.forget(node.nodeid, 1);
  },
};

function measure(side: Side, work: (side: Side, i: number) => void): Sample {
  const cpuBefore = cpuSecondsOfTree(side.process.pid!);
  const before = performance.now();
  for (let i = 0; i < REQUESTS; i++) work(side, i);
  const seconds = (performance.now() - before) / 1000;
  return { seconds, cpuSeconds: cpuSecondsOfTree(side.process.pid!) - cpuBefore };
}

const ours = await start('ours', process.execPath, [
  ...[crosvm, 'device', 'fs', '--socket-path', 'SOCKET', '--shared-dir', 'SHARE', '--tag', 'bench'],
]);
const theirs = await start('theirs', VIRTIOFSD, ['--socket-path=SOCKET', '-o', 'source=SHARE', '-o', 'log_level=err']);
const comparisons = Object.entries(WORK).map(([name, work]): Comparison => {
  const samples = { ours: [] as Sample[], theirs: [] as Sample[] };
  for (let pair = 0; pair <= PAIRS; pair++) {
    const pairOf = { ours: measure(ours, work), theirs: measure(theirs, work) };
    if (pair === 0) continue; // to warm up
    samples.ours.push(pairOf.ours);
    samples.theirs.push(pairOf.theirs);
  }
  return { name, ...samples };
});
for (const { requests, process: child } of [ours, theirs]) {
  requests.close();
  child.kill();
}
rmSync(folder, { recursive: true });
const findings = [finding('virtio-fs', meanSpeed(comparisons))];
printResult({ machine: machineLine(), findings, comparisons }, values.json, [
  `Times of ${REQUESTS} requests.\n`,
  table(COMPARISON_HEADER('ours', 'virtiofsd'), comparisons.map(comparisonRow)),
]);
process.exit();
