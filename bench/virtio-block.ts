/**
 * The data path of a block device process alone: a driver without a guest asks for random blocks of 4 KiB that the host
 * has in its page cache, of our back end and of qemu-storage-daemon, in turns:
 *
 *     node bench/virtio-block.ts [--seconds N] [--pairs N] [--json FILE]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connectStream, type StreamConnection, streamPair } from '../src/base/unix-stream.ts';
import { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { handshake } from '../src/vhost-user/front-end/handshake.ts';
import { MessageChannel } from '../src/vhost-user/message-channel.ts';
import { BlockDriver, DISK_SIZE } from './block-driver.ts';
import { cpuSecondsOfTree } from './process-usage.ts';
import { median, table } from './report.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    pairs: { type: 'string', default: '5' },
  },
});
const SECONDS = Number(values.seconds);
const PAIRS = Number(values.pairs);

const DEPTHS = [1, 16];

const folder = mkdtempSync(join(tmpdir(), 'crosvm-bench-'));
const image = join(folder, 'image');
writeFileSync(image, Buffer.alloc(DISK_SIZE, 7));
const crosvm = join(import.meta.dirname, '..', 'bin', 'crosvm');

interface BackEnd {
  readonly process: ChildProcess;
  readonly driver: BlockDriver;
  /** What the back end asks things at; it has to be open. */
  readonly requests: StreamConnection;
}

async function start(name: string, program: string, words: readonly string[]): Promise<BackEnd> {
  const socket = join(folder, name);
  const child = spawn(
    program,
    words.map((word) => word.replace('SOCKET', socket)),
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  while (!existsSync(socket)) await sleep(20);
  const frontEnd = new FrontEnd(new MessageChannel(connectStream(socket), 5000));
  const [requests, theirs] = streamPair();
  await handshake(frontEnd, { backEndChannel: theirs.fd, comesUp: async () => {}, sharesMemory: false });
  theirs.close();
  return { process: child, requests, driver: new BlockDriver(frontEnd) };
}

const sides = {
  ours: await start('ours', process.execPath, [
    crosvm,
    'device',
    'block',
    '--block-file',
    image,
    '--socket-path',
    'SOCKET',
  ]),
  theirs: await start('theirs', 'qemu-storage-daemon', [
    ...['--blockdev', `driver=file,node-name=file,filename=${image},locking=off,read-only=on`],
    ...['--export', 'type=vhost-user-blk,id=disk,node-name=file,writable=off,addr.type=unix,addr.path=SOCKET'],
  ]),
};
const rows: string[][] = [];
for (const depth of DEPTHS) {
  const rates: Record<string, number[]> = { ours: [], theirs: [] };
  const costs: Record<string, number[]> = { ours: [], theirs: [] };
  for (let pair = 0; pair <= PAIRS; pair++) {
    for (const [name, { driver, process: child }] of Object.entries(sides)) {
      const before = cpuSecondsOfTree(child.pid!);
      const done = driver.run(depth, SECONDS);
      if (pair === 0) continue; // to warm up
      rates[name]!.push(done / SECONDS);
      costs[name]!.push(((cpuSecondsOfTree(child.pid!) - before) / done) * 1e6);
    }
  }
  const of = (all: Record<string, number[]>, name: string, digits: number) => median(all[name]!).toFixed(digits);
  const ratio = median(rates['ours']!.map((rate, i) => rate / rates['theirs']![i]!));
  rows.push([
    `4 KiB reads, depth ${depth}`,
    ...['ours', 'theirs'].map((name) => of(rates, name, 0)),
    ...['ours', 'theirs'].map((name) => of(costs, name, 2)),
    ratio.toFixed(2),
  ]);
}
console.log(table(['work', 'ours/s', 'qsd/s', 'ours us CPU', 'qsd us CPU', 'rate against it'], rows));
for (const { requests, process: child } of Object.values(sides)) {
  requests.close();
  child.kill();
}
rmSync(folder, { recursive: true });
process.exit();
