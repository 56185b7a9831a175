/**
 * The data path of a block device process alone: a driver without a guest asks for random blocks of 4 KiB, of our back
 * end with each of its executors and of qemu-storage-daemon, in turns:
 *
 *     node bench/virtio-block.ts [--seconds N] [--pairs N] [--json]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DISK_EXECUTORS, preferredExecutor } from '../src/device-process/device-spec.ts';
import { type StartedBackEnd, startBackEnd } from './back-end.ts';
import { BlockDriver, DISK_SIZE } from './block-driver.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed, type Sample } from './comparison.ts';
import { cpuSecondsOfTree } from './process-usage.ts';
import { machineLine, table } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '1' },
    pairs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const SECONDS = Number(values.seconds);
const PAIRS = Number(values.pairs);
const DEPTHS = [1, 16];
/** What times are for. */
const REQUESTS = 100_000;

// Not in /tmp, which may be a file system in memory, where nothing goes past the page cache.
const folder = mkdtempSync(join('/var/tmp', 'crosvm-bench-'));
const crosvm = join(import.meta.dirname, '..', 'bin', 'crosvm');

interface BackEnd extends StartedBackEnd {
  readonly driver: BlockDriver;
}

async function start(name: string, program: string, words: readonly string[]): Promise<BackEnd> {
  const image = join(folder, `${name}.img`);
  const socket = join(folder, `${name}.sock`);
  writeFileSync(image, Buffer.alloc(DISK_SIZE, 7));
  const given = words.map((word) => word.replace('SOCKET', socket).replace('IMAGE', image));
  const backEnd = await startBackEnd(program, given, socket);
  return { ...backEnd, driver: new BlockDriver(backEnd.frontEnd) };
}

function startOurs(executor: string, direct: boolean): Promise<BackEnd> {
  const disk = `IMAGE,format=raw,async-executor=${executor}${direct ? ',direct' : ''}`;
  const words = [crosvm, 'device', 'block', '--block-file', disk, '--socket-path', 'SOCKET'];
  return start(`${executor}-${direct}`, process.execPath, words);
}

function startTheirs(direct: boolean): Promise<BackEnd> {
  const cache = direct ? 'cache.direct=on,aio=io_uring' : 'cache.direct=off';
  return start(`qsd-${direct}`, 'qemu-storage-daemon', [
    ...['--blockdev', `driver=file,node-name=file,filename=IMAGE,locking=off,${cache}`],
    ...['--export', 'type=vhost-user-blk,id=disk,node-name=file,writable=on,addr.type=unix,addr.path=SOCKET'],
  ]);
}

function measure({ driver, process: child }: BackEnd, depth: number, write: boolean): Sample {
  const before = cpuSecondsOfTree(child.pid!);
  const done = driver.run(depth, SECONDS, write);
  const cpuSeconds = cpuSecondsOfTree(child.pid!) - before;
  return { seconds: (SECONDS / done) * REQUESTS, cpuSeconds: (cpuSeconds / done) * REQUESTS };
}

const comparisons: Comparison[] = [];
for (const direct of [false, true]) {
  const theirs = await startTheirs(direct);
  const ours = await Promise.all(
    DISK_EXECUTORS.map(async (executor) => ({ executor, backEnd: await startOurs(executor, direct) })),
  );
  const preferred = preferredExecutor({ executor: undefined, direct });
  for (const write of [false, true]) {
    for (const depth of DEPTHS) {
      const samples = new Map([theirs, ...ours.map(({ backEnd }) => backEnd)].map((side) => [side, [] as Sample[]]));
      for (let pair = 0; pair <= PAIRS; pair++) {
        for (const [side, taken] of samples) {
          const sample = measure(side, depth, write);
          if (pair > 0) taken.push(sample); // the first is to warm up
        }
      }
      for (const { executor, backEnd } of ours) {
        const what = `4 KiB ${write ? 'writes' : 'reads'}, depth ${depth}, ${direct ? 'past the' : 'in the'} page cache`;
        comparisons.push({
          name: `${what}, ${executor}`,
          ours: samples.get(backEnd)!,
          theirs: samples.get(theirs)!,
          extra: executor !== preferred,
        });
      }
    }
  }
  for (const { requests, process: child } of [theirs, ...ours.map(({ backEnd }) => backEnd)]) {
    requests.close();
    child.kill();
  }
}
rmSync(folder, { recursive: true });
const findings = [finding('virtio-block', meanSpeed(comparisons))];
printResult({ machine: machineLine(), findings, comparisons }, values.json, [
  `Times of ${REQUESTS} requests.\n`,
  table(COMPARISON_HEADER('ours', 'qsd'), comparisons.map(comparisonRow)),
]);
process.exit();
