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
import { EventFd } from '../src/base/event-fd.ts';
import { waitReadable } from '../src/base/readable.ts';
import { connectStream, type StreamConnection, streamPair } from '../src/base/unix-stream.ts';
import { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { handshake } from '../src/vhost-user/front-end/handshake.ts';
import { MessageChannel } from '../src/vhost-user/message-channel.ts';
import { SharedGuest } from '../src/vhost-user/testing/test-front-end.ts';
import { SplitDriver } from '../src/virtio/testing/split-driver.ts';
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

const DISK_SIZE = 64 << 20;
const BLOCK = 4096;
const BLOCKS = DISK_SIZE / BLOCK;
const QUEUE_SIZE = 64;
const DEPTHS = [1, 16];
const FEATURES = (1n << 32n) | (1n << 30n) | (1n << 29n) | (1n << 9n);

const folder = mkdtempSync(join(tmpdir(), 'crosvm-bench-'));
const image = join(folder, 'image');
writeFileSync(image, Buffer.alloc(DISK_SIZE, 7));
const crosvm = join(import.meta.dirname, '..', 'bin', 'crosvm');

const fenceWord = new Int32Array(new SharedArrayBuffer(4));

/** What was stored is seen by the device before what is loaded from here on. */
function fence(): void {
  Atomics.add(fenceWord, 0, 0);
}

interface BackEnd {
  readonly process: ChildProcess;
  readonly driver: Driver;
  /** What the back end asks things at; it has to be open. */
  readonly requests: StreamConnection;
}

/** A driver with requests that are laid out once and made available again and again. */
class Driver {
  readonly #ring: SplitDriver;
  readonly #sectors: DataView[] = [];
  readonly #statuses: Uint8Array[] = [];
  readonly #kick = EventFd.create();
  readonly #call = EventFd.create();
  #used = 0;

  constructor(frontEnd: FrontEnd) {
    const guest = new SharedGuest();
    this.#ring = new SplitDriver(guest, QUEUE_SIZE, { eventIdx: true, indirect: false });
    for (let i = 0; i < Math.max(...DEPTHS); i++) {
      const header = guest.allocate(16);
      const data = guest.allocate(BLOCK, BLOCK);
      const status = guest.allocate(1);
      this.#ring.setDescriptor(3 * i, header, 16, 1, 3 * i + 1);
      this.#ring.setDescriptor(3 * i + 1, data, BLOCK, 3, 3 * i + 2);
      this.#ring.setDescriptor(3 * i + 2, status, 1, 2, 0);
      this.#sectors.push(guest.view(header + 8, 8));
      this.#statuses.push(guest.bytes(status, 1));
    }
    const { descriptor, driver, device } = this.#ring.addresses;
    const index = 0;
    frontEnd.request('SET_FEATURES', FEATURES);
    frontEnd.request('SET_MEM_TABLE', [guest.sharedRegion], [guest.fd]);
    frontEnd.request('SET_VRING_NUM', { index, num: QUEUE_SIZE });
    frontEnd.request('SET_VRING_BASE', { index, num: 0 });
    frontEnd.request('SET_VRING_ADDR', { index, flags: 0, descriptor, available: driver, used: device, log: 0 });
    frontEnd.request('SET_VRING_CALL', { index, absent: false }, [this.#call.fd]);
    frontEnd.request('SET_VRING_KICK', { index, absent: false }, [this.#kick.fd]);
    frontEnd.request('SET_VRING_ENABLE', { index, num: 1 });
  }

  /** Keeps `depth` requests under way for so many seconds; how many were done. */
  run(depth: number, seconds: number): number {
    for (let i = 0; i < depth; i++) this.#start(i);
    this.#kickIfNeeded();
    const end = performance.now() + seconds * 1000;
    let done = 0;
    for (let open = depth; open > 0; ) {
      this.#ring.wantInterruptAt(this.#used);
      fence();
      if (this.#ring.usedIndex === this.#used) {
        if (!waitReadable(this.#call.fd, 5000)) throw new Error('no answer');
        this.#call.clear();
      }
      const goOn = performance.now() < end;
      for (; this.#ring.usedIndex !== this.#used; this.#used = (this.#used + 1) & 0xffff) {
        const request = this.#ring.usedId(this.#used) / 3;
        if (this.#statuses[request]![0] !== 0) throw new Error('a request failed');
        done++;
        if (goOn) this.#start(request);
        else open--;
      }
      this.#kickIfNeeded();
    }
    return done;
  }

  #start(request: number): void {
    this.#statuses[request]![0] = 0xff;
    this.#sectors[request]!.setUint32(0, Math.floor(Math.random() * BLOCKS) * 8, true);
    this.#ring.makeAvailable(3 * request);
  }

  #kickIfNeeded(): void {
    fence();
    if (this.#ring.needsKick()) this.#kick.signal();
  }
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
  await handshake(frontEnd, theirs.fd, async () => {});
  theirs.close();
  return { process: child, requests, driver: new Driver(frontEnd) };
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
